"""The model card of a network, the README.md of its repository on the Hugging Face hub, written from its run.

It tells what the run folder, the dataset and the export tell, and says "not known" or "not measured" where they do not.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from alexnet import provenance, tensors
from alexnet.data.prepared import Prepared
from alexnet.data.sources.tables import HUB
from alexnet.exchange.exported import Exported
from alexnet.insight.evaluations import read_evaluations
from alexnet.insight.settings import settings
from alexnet.network.named import differences
from alexnet.network.networks import networks
from alexnet.network.summary import summarize
from alexnet.run.folder import source_of
from alexnet.run.images import measured_on, validation_of
from alexnet.run.metrics import epochs, read_metrics
from alexnet.run.network_file import Measured
from alexnet.run.recipes import paper, recipes
from alexnet.run.trained import TrainedNetwork
from alexnet.typed import from_dict
from alexnet.words import gigabytes, short, visible, with_word

NAME = "README.md"

MOST_LISTED = 50
"""Up to so many classes are all listed; of more, the first ten."""

Row = tuple[str, str, Measured]
"""Errors: of what, on which images of which source, and what was measured."""


def card(
    name: str, network: TrainedNetwork, exported: Exported, data: Prepared | None, views: int, license: str | None
) -> str:
    """The card, as Markdown, of the network in the file `exported`, which will be in the repository `name`.

    name: OWNER/NAME or OWNER/NAME@BRANCH. data, views: what its errors were measured on, where they were.
    """
    evaluated: list[dict[str, Any]] = []
    if not network.in_file:
        every = read_evaluations(network.path, network.classes, network.checkpoint)
        evaluated = [row for row in every if not row["older"] and row["split"] != "train"]
    of_file = _rows_of_file(network, exported, data, views)
    sections = (
        _front_matter(name, network, of_file, data, license),
        [f"# {_title(name)}"],
        _network(network),
        _classes(network.classes),
        _training(network, tensors.metadata(exported.file).get("note", "")),
        _errors(network, of_file, evaluated),
        _use(name),
        _limits(network, evaluated),
        _origin(exported, license),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _front_matter(
    name: str, network: TrainedNetwork, of_file: Sequence[Row], data: Prepared | None, license: str | None
) -> list[str]:
    """What the hub reads itself: its own dataset among the sources, and the errors of this very file as results."""
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    if of_file and data:
        _, on, measured = of_file[0]
        description = data.manifest["source"]["description"]
        named = {"top-1": measured.top1_error, "top-5": measured.top5_error}
        for kind in list(named)[: 2 if len(network.classes) > 5 else 1]:
            result = EvalResult(
                task_type="image-classification",
                dataset_type=_hub_id(description) or "other",
                dataset_name=_told(description),
                dataset_split=on.partition(",")[0],
                metric_type="error_rate",
                metric_name=f"{kind} error, %, {_views(measured)}, {measured.images:,} images",
                metric_value=round(named[kind], 2),
            )
            results.append(result)
    dataset = None if network.in_file else _hub_id(source_of(network.path) or "")
    about = ModelCardData(
        license=license,
        library_name="alexnet",
        pipeline_tag="image-classification",
        tags=["alexnet", "pytorch"],
        datasets=[dataset] if dataset else None,
        model_name=_title(name) if results else None,
        eval_results=results or None,
    )
    return ["---", about.to_yaml(), "---"]


def _title(name: str) -> str:
    return name.partition("@")[0].partition("/")[2]


def _network(network: TrainedNetwork) -> list[str]:
    spec = network.recipe.network
    lines = differences(spec, networks["paper"])
    beside = "differs from the paper's network (`alexnet summary paper`) in:" if lines else "is the paper's."
    return [
        "An image classifier of the kind of AlexNet (Krizhevsky, Sutskever and Hinton, 2012), of the package `alexnet`.",
        "",
        "## Network",
        "",
        f"`{_code(spec.name)}`: {summarize(spec).parameters:,} parameters. It sees {spec.input_size}×{spec.input_size} pixels of"
        f" an image that is brought to {network.size}×{network.size}. What it computes {beside}",
        *_list(_plain(line) for line in lines),
    ]


def _classes(classes: Sequence[str]) -> list[str]:
    listed = classes if len(classes) <= MOST_LISTED else classes[:10]
    names = ", ".join(_plain(with_word(short(name))) for name in listed)
    return [f"## {len(classes):,} classes", "", names + (", …" if len(listed) < len(classes) else "")]


def _training(network: TrainedNetwork, note: str) -> list[str]:
    recipe = network.recipe
    base = recipes.get(recipe.name, paper)
    # What the networks differ in is said above, by what they compute.
    lines = [line for line in settings(recipe, replace(base, network=recipe.network)) if line.differs]
    beside = f"differs from the package's recipe `{base.name}` in:" if lines else f"is the package's `{base.name}`."
    return [
        "## Training",
        "",
        _trained_on(network),
        "",
        f"Recipe `{_code(recipe.name)}`: at most {recipe.epochs:,} epochs in batches of {recipe.batch:,}, seed {recipe.seed}. The"
        f" network aside, it {beside}",
        *_list(f"{line.name}: {_plain(line.value)} (not {_plain(line.paper)})" for line in lines),
        *(["", f"Note in the file: {_plain(note)}"] if note else []),
    ]


def _trained_on(network: TrainedNetwork) -> str:
    if network.in_file:
        return "Trained on: not known, as it was written from a network file."
    source = source_of(network.path)
    if source is None:
        return "Trained on: not known; its run does not tell, as where weights were imported."
    lines = read_metrics(network.path)
    start: dict[str, Any] = next((line for line in reversed(lines) if line["kind"] == "start"), {})
    counts, ended = (start.get("images"), start.get("validation_images")), epochs(lines)
    text = f"Trained on: {_source(source)}"
    if ended and all(isinstance(count, int) for count in counts):
        text += f"; {counts[0]:,} images for {ended[-1]['epoch']:,} epochs, beside {counts[1]:,} that validated it"
    return f"{text}."


def _rows_of_file(network: TrainedNetwork, exported: Exported, data: Prepared | None, views: int) -> list[Row]:
    """The errors of the file, and of the network before its weights were rounded; none where they were not measured."""
    if data is None or exported.before is None or exported.after is None:
        return []
    split, indices = validation_of(network.recipe, data)
    on = f"{measured_on(split)}, {_source(data.manifest['source']['description'])}"
    before = f"before its weights were brought to {8 if exported.int8 else 16} bits"
    return [
        (of, on, Measured(errors.top1_error, errors.top5_error, views, len(indices)))
        for of, errors in (("this file", exported.after), (before, exported.before))
    ]


def _errors(network: TrainedNetwork, of_file: Sequence[Row], evaluated: Sequence[dict[str, Any]]) -> list[str]:
    rows = list(of_file)
    for row in evaluated:
        of = f"the run, by `alexnet evaluate`, {_code(row.get('precision') or 'precision not told')}"
        rows.append((of, row["split"].replace("-", " "), _measured(row, network)))
    if not rows and network.measured:
        rows.append(("the file that this one was made of, as it says", "not told", network.measured))
    if not rows:
        return ["## Error", "", "Not measured."]
    five = len(network.classes) > 5  # with fewer every answer is among the first five
    lines = ["## Error", "", *([] if of_file else ["Of this file: not measured.", ""])]
    lines += [f"| of | on | images | views | top-1 error % |{' top-5 error % |' * five}"]
    lines += [f"|---|---|---:|---:|---:|{'---:|' * five}"]
    for of, on, errors in rows:
        last = f" {errors.top5_error:.2f} |" * five
        lines += [f"| {of} | {on} | {errors.images:,} | {errors.views} | {errors.top1_error:.2f} |{last}"]
    return [*lines, "", "One view is the centre crop; ten are the corners and the centre, mirrored too, averaged."]


def _measured(row: dict[str, Any], network: TrainedNetwork) -> Measured:
    names = ("top1_error", "top5_error", "views", "images")
    measured: Measured = from_dict(
        Measured, {name: row[name] for name in names if name in row}, f"{network.path}: evaluation"
    )
    return measured


def _use(name: str) -> list[str]:
    return [
        "## Use",
        "",
        "With the package `alexnet` and its extra `hub`:",
        "",
        "```sh",
        f"alexnet predict hf:{name} photo.jpg",
        f"alexnet train --from hf:{name} --data DIR     # on other classes",
        "```",
        "",
        "```python",
        "import alexnet",
        "",
        f'network = alexnet.from_pretrained("{name}")',
        'print(network.predict("photo.jpg").label)',
        "```",
        "",
        f"`hf:{name.partition('@')[0]}@COMMIT` is the same bytes for ever; a branch may be moved.",
    ]


def _limits(network: TrainedNetwork, evaluated: Sequence[dict[str, Any]]) -> list[str]:
    sure = "Whether its probabilities mean what they say was not measured."
    if calibrated := next((row for row in evaluated if row["calibration"]), None):
        found, measured = calibrated["calibration"], _measured(calibrated, network)
        sure = (
            f"The run gave {measured.images:,} images ({calibrated['split'].replace('-', ' ')}, {_views(measured)}) their first"
            f" label with {found.confidence:.2f} % on average, and {found.accuracy:.2f} % of these labels were right; the expected"
            f" calibration error is {found.error:.2f} points. The temperature that suits these images best,"
            f" {found.temperature:.2f}, is not applied."
        )
    return [
        "## Limits",
        *_list(
            [
                f"It answers with one of its {len(network.classes):,} classes, whatever it is shown.",
                sure,
                "An error rate is of the images it was measured on, and says nothing of images of another kind.",
                "It is one network, so its errors have no spread over trainings.",
            ]
        ),
    ]


def _origin(exported: Exported, license: str | None) -> list[str]:
    commit = provenance.commit()
    program = f"alexnet {version('alexnet')}" + ("" if commit == "unknown" else f", commit {commit}")
    return [
        "## Origin",
        "",
        f"`{exported.file.name}`: {gigabytes(exported.bytes)}, weights in {'int8' if exported.int8 else 'float16'}, SHA-256"
        f" `{exported.sha256}`. Checkpoint `{exported.checkpoint}`; file and card were written by {program}.",
        *([] if license else ["", "No licence is stated."]),
    ]


def _list(lines: Any) -> list[str]:
    listed = [f"- {line}" for line in lines]
    return ["", *listed] if listed else []


def _views(measured: Measured) -> str:
    return f"{measured.views} view{'s' * (measured.views > 1)}"


# Words of others ------------------------------------------------------------------------------------------------------


def _hub_id(description: str) -> str | None:
    """The id of the hub's data set that a source's description names."""
    match = re.match(re.escape(HUB) + r"([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?=[:,]|$)", description, re.ASCII)
    return match[1] if match else None


def _told(description: str) -> str:
    """A source's description, but for one that names a place on a machine, which is nobody else's matter."""
    place = re.search(r"(^|[\s,;:=('\"])(~|\.{0,2})[/\\]|[A-Za-z]:[/\\]", description)
    return "files of its owner's machine" if place else visible(short(description, 200))


def _source(description: str) -> str:
    """The same as Markdown, with a link to the hub's data set."""
    text, dataset = _plain(_told(description)), _hub_id(description)
    return f"[{text}](https://huggingface.co/datasets/{dataset})" if dataset else text


def _plain(text: str) -> str:
    """Text of others on one line, in which Markdown and HTML see nothing but text."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", visible(text))


def _code(text: str) -> str:
    """Text of others for a span of code, where nothing can be escaped."""
    return visible(text).replace("`", "'")
