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

from alexnet import words
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import calibration
from alexnet.extras import need
from alexnet.files import write_text
from alexnet.insight import confusion, curves, figures, kernels, mistakes, picture
from alexnet.insight.evaluations import read_evaluations, read_if_there
from alexnet.insight.settings import settings
from alexnet.network.summary import summarize
from alexnet.run import checkpoint
from alexnet.run.folder import CLASSES, DATA, REPORT, data_of, pretrained
from alexnet.run.metrics import epochs, read_metrics
from alexnet.run.recipe import read as read_recipe
from alexnet.run.trained import load
from alexnet.words import duration

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Report:
    """A run's page."""

    run: Path
    path: Path
    data: Path
    """The dataset that it shows, or would show"""
    shows_data: bool
    """Whether that dataset was there: else the page has no photographs"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"run": str(self.run), "report": str(self.path)}


def rewrite(run: Path, data: Path | None = None) -> Report:
    """Write RUN/report.html again. data: a prepared dataset; by default the run's own, if it is still there.

    Raises InputError as `write` does, and if `data` is no prepared dataset.
    """
    path = data or data_of(run)
    prepared = prepared_sets.open(path) if data or (path / "manifest.json").is_file() else None
    return Report(run, write(run, prepared), path, prepared is not None)


def write(run: Path, prepared: Prepared | None = None) -> Path:
    """Write RUN/report.html from what is in the run folder by now, and return its path.

    prepared: the dataset of the run, for its counts and for all pictures with photographs (`figures.sampled`). A run that
    has not got far has a shorter report. Raises InputError if `run` is no run folder, a file in it is damaged, or
    `prepared` has other classes; and without the packages of the extra `report`.
    """
    need("report")
    run = Path(run)
    page = _page(run, prepared)
    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    templates.filters["word"] = words.with_word
    templates.filters["short"] = picture.shorten
    path = run / REPORT
    write_text(path, templates.get_template("report.html").render(page))
    return path


def _page(run: Path, prepared: Prepared | None) -> dict[str, Any]:
    """The values that the template report.html shows."""
    recipe, metrics, data = read_recipe(run), read_metrics(run), read_if_there(run / DATA, {})
    classes = tuple(read_if_there(run / CLASSES, []))
    if prepared is not None and prepared.classes != classes:
        raise InputError(
            f"{prepared.path}: its classes are not those of {run}; use the dataset that the run was trained on"
        )
    saved = checkpoint.latest(run)
    trained = load(run) if saved else None
    ended = epochs(metrics)
    evaluations = read_evaluations(run, classes, saved.name if saved else None)
    source = (prepared.manifest if prepared else data).get("source", {}).get("description", "unknown")
    photographs = figures.sampled(trained, prepared) if trained and prepared else {}
    confused = evaluations[0]["confusion"] if evaluations else None
    named = len(classes) <= confusion.MOST_NAMED
    return {
        "run": "/".join(run.resolve().parts[-2:]),  # the folder's own name may be no more than "run"
        "recipe": recipe,
        "parameters": summarize(recipe.network).parameters,
        "source": source,
        "start": pretrained(run),
        "classes": classes,
        "split": prepared and [{"name": name, **part} for name, part in prepared.manifest["splits"].items()],
        "size": recipe.image_size,
        "last": ended[-1] if ended else None,
        "validated": next((line for line in reversed(ended) if "validation_top1" in line), None),
        "as_of": datetime.fromtimestamp(metrics[-1]["time"], UTC).strftime("%Y-%m-%d %H:%M UTC") if metrics else None,
        "evaluations": evaluations,
        "task": task(source, classes),
        "five": len(classes) > 5,
        "curves": picture.data_url(curves.figure(metrics, len(classes) or None), "svg"),
        "points": (points := curves.values(metrics, len(classes) or None)),
        "kernels": trained and picture.data_url(kernels.figure(trained.network), "png"),
        "columns": recipe.network.columns,
        "saved_step": saved and int(saved.name.removeprefix("step-")),
        "pictures": {name: picture.data_url(figure, "jpg") for name, figure in photographs.items()},
        "sample": len(figures.sample_of(recipe, prepared)) if photographs and prepared else 0,
        "per_class": _per_class(evaluations[0]) if evaluations else [],
        "calibration": evaluations[0]["calibration"] if evaluations else None,
        "searched": (calibration.COLDEST, calibration.HOTTEST),
        "confusion": confused and not named and picture.data_url(confusion.figure(confused, classes), "png"),
        "cells": confusion.cells(confused) if confused and named else [],
        "pairs": mistakes.listed(len(classes), confused) if confused and not named else [],
        "embedded": {"curves": points, **(_mistakes(run, prepared, evaluations[0]) if confused else {})},
        "style": Markup((HERE / "report.css").read_text("utf-8")),
        "script": Markup((HERE / "report.js").read_text("utf-8")),
        "settings": settings(recipe),
        "json": escape(recipe.to_json()),
        "machine": _machine(metrics, ended),
    }


def _shown(value: Any) -> Any:
    """A value of the page, before it is escaped; what is escaped already may have lines."""
    return picture.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
        rows.append({"precision": None, "recall": None, **row, "taken_for": taken})  # an old file has neither
    return sorted(rows, key=lambda row: -1.0 if row["top1_error"] is None else row["top1_error"], reverse=True)


def _mistakes(run: Path, prepared: Prepared | None, evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the page has to know to open a cell of the confusion matrix; `missing` says why there are no pictures."""
    taken = mistakes.pictures(run, prepared, evaluation) if prepared else None
    if taken is not None:
        missing = ""
    elif evaluation["dataset"]:
        missing = "it was measured on other data than the run's."
    elif prepared is None:
        missing = "the prepared dataset was not there when this page was written."
    else:
        missing = "the class probabilities of this evaluation are not kept; evaluate the run again."
    return {
        "classes": [picture.shorten(row["label"], 40) for row in evaluation["per_class"]],
        "images": [row["images"] for row in evaluation["per_class"]],
        "mistakes": taken or {},
        "missing": missing,
    }


def _machine(metrics: list[dict[str, Any]], ended: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the run was computed on and how long it took, as (name, value)."""
    starts = [line for line in metrics if line["kind"] == "start"]
    rows = []
    for name in ("device", "cpu", "threads", "torch", "commit"):
        values = dict.fromkeys(str(line[name]) for line in starts if name in line)
        if values:
            rows.append((name, ", then ".join(values)))
    if starts:
        rows.append(("training images", f"{starts[-1]['images']:,}"))
        rows.append(("validation images", f"{starts[-1]['validation_images']:,}"))
        rows.append(("resumed", {1: "never", 2: "once"}.get(len(starts), f"{len(starts) - 1} times")))
    if ended:
        speeds = [line["images_per_second"] for line in ended]
        rows.append(("images/s", f"{median(speeds):,.1f} (median of epochs, {min(speeds):,.1f} to {max(speeds):,.1f})"))
        rows.append(("time in training", f"{duration(sum(line['seconds'] for line in ended))} (without validation)"))
    return rows


# What the run can be measured by -------------------------------------------------------------------------------------

CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}


def task(source: str, classes: tuple[str, ...]) -> str:
    """Which published figures a run's errors can be held against: "ilsvrc-2012", "imagenette", "cifar-10" or "other".

    `source` is the description of where the images came from; the classes count for more.
    """
    numbers = {name[:9] for name in classes if re.match(r"n\d{8}( |$)", name)}
    if len(classes) == 1000 and (len(numbers) == 1000 or re.search("ilsvrc|imagenet-1k", source, re.IGNORECASE)):
        return "ilsvrc-2012"
    if numbers == set(words.IMAGENETTE) or (len(classes) == 10 and "imagenette" in source.lower()):
        return "imagenette"
    return "cifar-10" if set(classes) == CIFAR10 else "other"
