"""A run and its data, as several commands need them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alexnet.cli.console import err
from alexnet.cli.progress import Bar
from alexnet.errors import InputError
from alexnet.run.folder import data_of as data_of


def write_report(run: Path, opened: Any) -> Path:
    from alexnet.insight import report as reports

    return reports.write(run, opened)


def probabilities_of(run: Path, judged: Any, how: dict[str, Any]) -> Any:
    """Class probabilities of a run, with a bar while they are computed."""
    from alexnet.evaluation import kept

    return with_bar(kept.probabilities, run, judged, how)


def with_bar(work: Callable[..., Any], run: Path, judged: Any, how: dict[str, Any]) -> Any:
    from alexnet.device import keep_memory, pick

    keep_memory()
    with Bar("images", err) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(f"{run.name}, {judged.where}", done, total)

        shown = progress if how["processes"].first else None
        return work(run, judged, **{**how, "device": pick(how["device"])}, progress=shown)


def judged_images(run: Path, data: Path | None, split: str) -> tuple[Any, Any]:
    """The prepared dataset that a run is evaluated on, and the images of its split; InputError if it has other classes."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.evaluation import kept
    from alexnet.run import checkpoint, recipe

    of, classes = recipe.read(run), kept.classes_of(run)
    checkpoint.newest(run)
    opened = prepared_sets.open(data or data_of(run, there=True))
    if opened.classes != classes:
        raise InputError(
            f"{opened.path}: its classes are not the run's, or in another order ({len(opened.classes)} against"
            f" {len(classes)}); evaluate on data with the classes in {run / 'classes.json'}"
        )
    return opened, kept.of_split(of, opened, split)


def run_with_data(run: Path, data: Path | None, device: str) -> tuple[Any, Any]:
    """A run's network and a prepared dataset of its classes; InputError if there is none or it has others."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory, pick
    from alexnet.run import trained

    network = trained.load(run, pick(device))
    opened = prepared_sets.open(data or data_of(run, there=True))
    if opened.classes != network.classes:
        raise InputError(
            f"{opened.path}: its classes are not the run's, or in another order ({len(opened.classes)} against"
            f" {len(network.classes)}); use data with the classes in {run / 'classes.json'}"
        )
    keep_memory()
    return network, opened


def images_of_run(network: Any, opened: Any, split: str) -> tuple[Any, Any, str]:
    """A split, the indices of its images that are meant, and what they are called."""
    import numpy as np

    from alexnet.run.images import measured_on, validation_of

    if split == "val":
        part, indices = validation_of(network.recipe, opened)
        return part, indices, measured_on(part)
    part = opened.split(split)
    return part, np.arange(len(part.labels)), part.name
