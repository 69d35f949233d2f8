"""A run on one page: report.html, a single file that opens offline."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from torch import Tensor

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.files import write_text
from alexnet.insight import confusion, curves, figures, kernels, picture
from alexnet.network import spec as specs
from alexnet.network.summary import summarize
from alexnet.reading import read_json
from alexnet.run import checkpoint, recipes
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, flatten
from alexnet.run.recipe import read as read_recipe
from alexnet.run.trained import TrainedNetwork, load


def write(run: Path, prepared: Prepared | None = None, trained: TrainedNetwork | None = None) -> Path:
    """Write RUN/report.html from what is in the run folder by now, and return its path.

    prepared: the dataset of the run, for its counts and for all pictures with photographs (`figures.sampled`); trained:
    the run's network, loaded from its newest checkpoint if not given. A run that has not got far has a shorter report.
    Raises InputError if `run` is no run folder, a file in it is damaged, or `prepared` has other classes.
    """
    run = Path(run)
    recipe, metrics, data = read_recipe(run), read_metrics(run), _json(run / "data.json", {})
    classes = tuple(_json(run / "classes.json", []))
    if prepared is not None and prepared.classes != classes:
        raise InputError(
            f"{prepared.path}: its classes are not those of {run}; use the dataset that the run was trained on"
        )
    saved = checkpoint.latest(run)
    if trained is None and saved is not None:
        trained = load(run)
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    evaluations = _evaluations(run, classes, saved.name if saved else None)
    source = (prepared.manifest if prepared else data).get("source", {}).get("description", "unknown")
    made = figures.sampled(trained, prepared) if trained and prepared else {}
    page = {
        "run": "/".join(run.resolve().parts[-2:]),  # the folder's own name may be no more than "run"
        "recipe": recipe,
        "parameters": summarize(recipe.network).parameters,
        "source": source,
        "classes": classes,
        "split": prepared and _splits(prepared),
        "size": recipe.image_size,
        "epochs": epochs,
        "last": epochs[-1] if epochs else None,
        "validated": next((line for line in reversed(epochs) if "validation_top1" in line), None),
        "as_of": _moment(metrics[-1]["time"]) if metrics else None,
        "evaluations": evaluations,
        "task": task(source, classes),
        "five": len(classes) > 5,
        "curves": picture.data_url(curves.figure(metrics, len(classes) or None), "svg"),
        "kernels": trained and picture.data_url(_kernels(trained), "png"),
        "columns": recipe.network.columns,
        "saved_step": saved and int(saved.name.removeprefix("step-")),
        "pictures": {name: picture.data_url(one, "jpg") for name, one in made.items()},
        "sample": len(figures.sample_of(recipe, prepared)) if made and prepared else 0,
        "per_class": _per_class(evaluations[0]) if evaluations else [],
        "confusion": _confusion(evaluations, classes),
        "settings": settings(recipe),
        "json": escape(recipe.to_json()),
        "machine": _machine(metrics, epochs),
    }
    folder = Path(__file__).parent
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    templates.filters["word"] = picture.with_word
    path = run / "report.html"
    write_text(path, templates.get_template("report.html").render(page))
    return path


def _shown(value: Any) -> Any:
    """A value of the page, before it is escaped; what is escaped already may have lines."""
    return picture.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _json(path: Path, absent: Any) -> Any:
    try:
        return read_json(path, most=1 << 28)
    except FileNotFoundError:
        return absent
    except InputError as error:
        raise InputError(f"{error}; remove it, or write it again with the command that made it") from None


def _evaluations(run: Path, classes: tuple[str, ...], newest: str | None) -> list[dict[str, Any]]:
    """What `alexnet evaluate` left in the run folder, most telling first, so ten views before one.

    With the split's name, and whether it measured an older checkpoint than `newest`.
    """
    found = []
    for path in run.glob("evaluation-*views.json"):
        if name := re.fullmatch(r"evaluation-(.+)-\d+views", path.stem):
            one = _json(path, {})
            confused = one.get("confusion", ())
            whole = confused is None or len(confused) == len(classes)
            if len(one.get("per_class", ())) != len(classes) or not whole:
                raise InputError(
                    f"{path}: not an evaluation of this run's {len(classes)} classes; remove it and evaluate again"
                )
            # Epochs that were trained since are not in it. (Evaluations before there was a checkpoint in them say nothing.)
            older = newest is not None and (one.get("checkpoint") or newest) != newest
            found.append({"split": name[1], "older": older, **one})
    return sorted(found, key=lambda one: (one["split"] == "train", one["split"], one["older"], -one["views"]))


def _per_class(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Classes by their error, the worst first, each with the class that it is most often taken for."""
    rows = []
    for k, row in enumerate(evaluation["per_class"]):
        taken = None
        if evaluation["confusion"]:
            wrong = np.array(evaluation["confusion"][k])
            wrong[k] = 0
            if wrong.any():
                other = int(wrong.argmax())
                taken = {"label": evaluation["per_class"][other]["label"], "images": int(wrong[other])}
        rows.append({**row, "taken_for": taken})
    return sorted(rows, key=lambda row: -1.0 if row["top1_error"] is None else row["top1_error"], reverse=True)


def _confusion(evaluations: list[dict[str, Any]], classes: tuple[str, ...]) -> str | None:
    if not evaluations or not evaluations[0]["confusion"]:
        return None
    return picture.data_url(confusion.figure(evaluations[0]["confusion"], classes), "png")


def _splits(prepared: Prepared) -> list[dict[str, Any]]:
    counts = prepared.manifest["splits"]
    return [{"name": name, "images": one["images"], "skipped": one["skipped"]} for name, one in counts.items()]


def _kernels(trained: TrainedNetwork) -> Any:
    weight = trained.network.get_submodule("conv1").weight
    assert isinstance(weight, Tensor)
    return kernels.figure(weight, trained.network.spec.columns)


def _machine(metrics: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the run was computed on and how long it took, as (name, value)."""
    starts = [line for line in metrics if line["kind"] == "start"]
    rows = []
    for name, key in (("device", "device"), ("torch", "torch"), ("threads", "threads")):
        values = dict.fromkeys(str(line[key]) for line in starts if key in line)
        if values:
            rows.append((name, ", then ".join(values)))
    if starts:
        rows.append(("training images", f"{starts[-1]['images']:,}"))
        rows.append(("validation images", f"{starts[-1]['validation_images']:,}"))
        rows.append(("resumed", {1: "never", 2: "once"}.get(len(starts), f"{len(starts) - 1} times")))
    if epochs:
        speeds = [line["images_per_second"] for line in epochs]
        rows.append(("images/s", f"{median(speeds):,.1f} (median of epochs, {min(speeds):,.1f} to {max(speeds):,.1f})"))
        rows.append(("time in training", f"{_duration(sum(line['seconds'] for line in epochs))} (without validation)"))
    return rows


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


# What the run can be measured by -------------------------------------------------------------------------------------

CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}


def task(source: str, classes: tuple[str, ...]) -> str:
    """Which published figures a run's errors can be held against: "ilsvrc-2012", "imagenette", "cifar-10" or "other".

    `source` is the description of where the images came from; the classes count for more.
    """
    numbers = {name[:9] for name in classes if re.match(r"n\d{8}( |$)", name)}
    if len(classes) == 1000 and (len(numbers) == 1000 or re.search("ilsvrc|imagenet-1k", source, re.IGNORECASE)):
        return "ilsvrc-2012"
    if numbers == set(picture.IMAGENETTE) or (len(classes) == 10 and "imagenette" in source.lower()):
        return "imagenette"
    return "cifar-10" if set(classes) == CIFAR10 else "other"


# The recipe as a table -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One line of the table: a name, what this run has, what the recipe `paper` has."""

    name: str
    value: str
    paper: str
    mark: bool = True
    """Whether a difference means anything: a seed or a device does not change what is trained."""

    @property
    def differs(self) -> bool:
        """Whether the run departs from the recipe `paper` here."""
        return self.mark and self.value != self.paper


_PRACTICAL = (
    "seed",
    "device",
    "micro_batch",
    "validate_every",
    "checkpoint_minutes",
    "keep",
    "stuck_steps",
    "hold_out_seed",
)


def settings(recipe: Recipe) -> list[Setting]:
    """The recipe line by line beside the recipe `paper`: layers first, then whatever else makes the run what it is."""
    own, base = _lines(recipe), _lines(recipes.paper)
    names = [*own, *(name for name in base if name not in own)]
    lines = [Setting(name, own.get(name, "none"), base.get(name, "none")) for name in names]
    lines.append(Setting("seed", str(recipe.seed), str(recipes.paper.seed), mark=False))
    # The rows have the switches applied, and not every switch shows there; whatever else differs comes as it is.
    shown = ("name", "network.name", "network.classes", *_PRACTICAL)
    mine, theirs = flatten(recipe), flatten(recipes.paper)
    said = {name for name, _ in _FIELDS}
    for name, value in mine.items():
        if value != theirs.get(name) and name not in said and name not in shown and not name.startswith(_SENTENCES):
            lines.append(Setting(name, str(value), str(theirs.get(name))))
    return lines


_FIELDS = (
    ("network.input_size", "input, pixels"),
    ("network.columns", "columns"),
    ("network.normalization", "normalization"),
    ("network.normalization_window", "normalization window"),
    ("network.pooling", "pooling, window/stride"),
    ("network.rounding", "map sizes rounded"),
    ("network.activation", "activation"),
    ("network.dropout", "dropout"),
    ("network.dropout_form", "dropout form"),
    ("epochs", "epochs, at most"),
    ("batch", "batch"),
    ("rate", "learning rate"),
    ("momentum", "momentum"),
    ("decay", "weight decay"),
    ("bias_rate", "rate of biases, times"),
    ("bias_decay", "biases decay"),
    ("first_rate", "rate of conv1, times"),
    ("last_rate", "rate of the last layer, times"),
    ("image_size", "prepared images, pixels"),
    ("hold_out", "held out if there is no validation split"),
    ("precision", "precision"),
)
_SENTENCES = (
    "schedule.",
    "augmentation.",
    "network.convolutions.",
    "network.hidden.",
    "network.lrn.",
    "network.pooling.",
)


def _lines(recipe: Recipe) -> dict[str, str]:
    network = recipe.network
    flat = flatten(recipe) | {"network.normalization": network.normalization_name, "network.pooling": network.pooling}
    lines = {name: _layer(network, name, row) for name, row in network.rows()}
    lines[network.last_name] = f"{network.classes} classes; from std {network.std_of_last:g}"
    for field, name in _FIELDS:
        value = flat[field]
        lines[name] = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    lines["schedule"] = _schedule(recipe)
    how = recipe.augmentation
    crop = {"image": "for every image", "group": "for 32 images at once", "centre": "always the centre"}[how.crop]
    lines["crops"] = crop + (", mirrored half of the time" if how.flip else ", never mirrored")
    lines["colour noise"] = how.colour
    lines["mean that a crop subtracts"] = {"position": "of its own position", "centre": "of the centre"}[how.mean]
    return lines


def _layer(network: specs.Network, name: str, row: specs.Convolution | specs.Hidden) -> str:
    if isinstance(row, specs.Convolution):
        text = f"{row.kernels} kernels {row.size}×{row.size}"
        text += f", stride {row.stride}" if row.stride > 1 else ""
        text += f", padding {row.padding}" if row.padding else ""
    else:
        text = f"{row.units} units"
    if network.columns > 1 and name != "conv1":
        text += ", reads both columns" if network.reads_both(name) else ", reads its own column"
    steps = [network.activation if step == "relu" else step for step in row.then]
    text += f"; then {', '.join(steps)}" if steps else ""
    return text + (
        "; from PyTorch's values" if network.init == "pytorch" else f"; from std {row.std:g}, bias {row.bias:g}"
    )


def _schedule(recipe: Recipe) -> str:
    how = recipe.schedule
    shares = ", ".join(f"{100 * share:g}" for share in how.drops)
    text = {
        "plateau": f"÷{how.factor:g} after {how.patience} validations without a lower error, {how.times} times",
        "steps": f"÷{how.factor:g} at {shares} % of the epochs",
        "recorded-2012": "as recorded in 2012: ÷10 at 25, 51 and 79 of 91 epochs, biases once; conv1 ÷10 and colour noise"
        " off at 67, conv1 frozen at 72",
        "run-170": "four equal stages from the first rate to 1/250 of it (2012, run 170)",
        "fine-tuning-2012": "as in the fine-tuning of 2012: ÷10 at 22/54 and 42/54 of the epochs, the last layer at 9/54"
        " too; conv1 ÷10 at 5/54, frozen at 7/54; colour noise off at 38/54",
        "linear": "a straight line from the first rate towards 0",
        "constant": "constant",
    }[how.kind]
    biases = {
        "by-kind": "",
        "with-weights": "; the biases' rate falls with the weights'",
        "once": "; the biases' rate falls once",
    }
    last_third = {
        "by-kind": "",
        "plain": "; conv1 and the colour noise as before to the end",
        "authors-2012": "; conv1 ÷10 and colour noise off at 67/91 of the epochs, conv1 frozen at 72/91",
    }
    return text + biases[how.biases] + last_third[how.last_third]
