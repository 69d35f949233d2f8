"""The explorer as plain files, for any web host: the page, and under the same paths what the server would answer."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.explore import answers, runs, searches
from alexnet.explore.images import NotThere
from alexnet.explore.server import PAGE
from alexnet.explore.session import OpenRun, Session
from alexnet.files import named
from alexnet.network.spec import Convolution
from alexnet.reading import read_json

INDEX = "api/index.json"
EXAMPLES = 6
"""Validation images that are exported where none are named."""

ALL_LABELS = 20
"""Up to so many labels have why/LABEL.json each; of more, only the five most probable and the true one."""

NEIGHBOURS = 12

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, of how much."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    runs: tuple[str, ...]
    images: tuple[str, ...]
    files: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**vars(self), "path": str(self.path), "runs": list(self.runs), "images": list(self.images)}


def export(session: Session, folder: Path, progress: Progress = lambda what, done, total: None) -> Exported:
    """Write the page and all it shows of the session's runs and given images into `folder`, whole or not at all.

    An earlier export there is replaced. Raises InputError where something else is, and where there are no images.
    """
    folder = folder.absolute()  # "." has no name
    if folder.exists() and not _is_export(folder):
        raise InputError(
            f"--export {folder}: there already, and no earlier export; name a folder that is not there yet"
        )
    if not session.images.given and session.data:
        for sample in session.images.samples("val", 0, EXAMPLES, None)["images"]:
            session.images.give(sample["id"], ())
    if not session.images.given:
        raise InputError("--export needs images to show: name some with --images FILE..., or a dataset with --data DIR")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside, aside = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        with named(folder):
            shutil.copytree(PAGE, beside)
            _write(session, beside, progress)
            if folder.exists():
                os.replace(folder, aside)
            os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = tuple(picture.name for picture in session.images.given.values())
    return Exported(folder, tuple(session.runs), names, len(files), sum(file.stat().st_size for file in files))


def _is_export(folder: Path) -> bool:
    try:
        index = read_json(folder / INDEX)
    except (OSError, InputError):
        return False
    return isinstance(index, dict) and index.get("live") is False


def _write(session: Session, folder: Path, progress: Progress) -> None:
    for url, names in _pages(session, progress):
        file = folder / url.format(**names)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(answers.URLS[url](session, **names).body)


Page = tuple[str, dict[str, Any]]
"""One of `answers.URLS`, and the names in its braces."""


def _pages(session: Session, progress: Progress) -> Iterator[Page]:
    """All that the page asks for, but what needs a server: uploads, samples, units."""
    yield INDEX, {}
    thumbs = dict.fromkeys(session.images.given)
    for id in session.images.given:
        yield "api/images/{image}/original.jpg", {"image": id}
    done, total = 0, len(session.runs) * len(thumbs)
    for id, run in session.runs.items():
        yield from _of_run(id, run)
        for image in session.images.given:
            yield from _of_image(session, id, image)
            near = _neighbours(session, run, image, progress)
            if near:
                yield "api/runs/{run}/images/{image}/neighbours.json", {"run": id, "image": image}
            thumbs.update(dict.fromkeys(near))
            done += 1
            progress("images", done, total)
    for image in thumbs:
        yield "api/images/{image}/thumb.jpg", {"image": image}


def _of_run(id: str, run: OpenRun) -> Iterator[Page]:
    yield "api/runs/{run}/network.json", {"run": id}
    yield "api/runs/{run}/network.safetensors", {"run": id}
    if runs.has_log(run.trained):
        yield "api/runs/{run}/metrics.json", {"run": id}
    for layer, row in run.trained.network.spec.all_rows():
        yield "api/runs/{run}/weights/{layer}-bias.bin", {"run": id, "layer": layer}
        if isinstance(row, Convolution):
            yield "api/runs/{run}/weights/{layer}.bin", {"run": id, "layer": layer}
    for epoch in runs.facts(run.trained)["epochs_kept"]:
        yield "api/runs/{run}/kernels/{epoch}.bin", {"run": id, "epoch": epoch}


def _of_image(session: Session, id: str, image: str) -> Iterator[Page]:
    names, run, picture = {"run": id, "image": image}, session.run(id), session.images.find(image)
    for end in ("answer.json", "square.png", "seen.png", "input.bin"):
        yield f"api/runs/{{run}}/images/{{image}}/{end}", names
    for step in session.steps(run, picture):
        yield "api/runs/{run}/images/{image}/steps/{step}.bin", {**names, "step": step}
    classes = run.trained.classes
    labels: Iterable[int] = range(len(classes))
    if len(classes) > ALL_LABELS:
        answer = session.answer(run, picture)
        told = [*(row["label"] for row in answer["top"]), *([answer["label"]] if answer["label"] else [])]
        labels = sorted({classes.index(label) for label in told})
    for label in labels:
        yield "api/runs/{run}/images/{image}/why/{label}.json", {**names, "label": label}


def _neighbours(session: Session, run: OpenRun, image: str, progress: Progress) -> list[str]:
    """Ids of an image's neighbours, waited for; none where they cannot be searched."""
    while True:
        try:
            near = searches.neighbours(session, run, session.images.find(image), NEIGHBOURS)
        except NotThere:
            return []
        if near["state"] == "ready":
            return [row["id"] for row in near["neighbours"]]
        progress("features of train", near["done"], near["total"] or 1)
        time.sleep(0.1)
