"""An epoch of ImageNet's length, timed whole, through `alexnet train` itself on random images in device memory."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from alexnet.data.prepared import Prepared, Split
from alexnet.errors import RunFailed
from alexnet.gpu.figures import Row, row
from alexnet.gpu.timing import Given, free
from alexnet.run import recipes
from alexnet.run.metrics import read_metrics
from alexnet.run.schedule import Schedule
from alexnet.training import train

IMAGENET = 1_280_000
EPOCHS = 90
DAYS = (5, 6)
"""What §5 says that 90 epochs took on two GTX 580."""
BLOCK = 1024
"""Different random images; a set repeats them."""


def epoch(given: Given) -> tuple[list[Row], dict[str, Any]]:
    """Seconds for 1.28 million images and for 90 times as many, from a run of `size.visits`, or of what the time allows."""
    size = given.size
    epochs = -(-size.visits // size.resident)
    recipe = replace(
        recipes.paper,
        network=size.network,
        epochs=epochs,
        rate=1e-3,
        schedule=Schedule("constant"),
        image_size=size.image,
        device=str(given.device),
        validate_every=epochs,
        stuck_steps=0,  # there is nothing to be learned from random labels
    )
    with TemporaryDirectory(prefix="alexnet-epoch-") as folder:
        data = RandomImages(Path(folder) / "data", size.image, size.resident, size.validated, size.network.classes)
        begun = time.monotonic()
        outcome = train(recipe, data, Path(folder) / "run", stop=after_a_step(given.stop))
        whole = time.monotonic() - begun
        lines = [line for line in read_metrics(outcome.run) if line["kind"] == "epoch"]
    free(given.device)
    if not outcome.finished:
        given.leave_out(f"epochs after {outcome.epochs} of {epochs}", "no time left")
    return figures(lines, size.resident, whole, recipe.batch), {"epochs": lines}


def figures(lines: list[dict[str, Any]], images: int, whole: float, batch: int) -> list[Row]:
    """The rows, from the lines of metrics.jsonl: epochs of `images` images, `whole` seconds in all."""
    # The first epoch has the start of the libraries in it, and the capture of the graph: it counts, but not by itself.
    if not lines:
        raise RunFailed("no epoch of the long run was finished in the time given")
    seconds = sum(line["seconds"] for line in lines)
    visits = images * len(lines)
    each = [line["seconds"] * IMAGENET / images for line in lines[1:] or lines]
    said = f"{visits:,} image visits, batches of {batch}"
    ninety = EPOCHS * seconds * IMAGENET / visits
    of_2012 = " to ".join(f"{days * 86400 / ninety:,.0f}" for days in DAYS)
    return [
        row("images a second, the long run", [visits / seconds], "images/s", said),
        row("1.28 million images", [seconds * IMAGENET / visits], "s", f"all {len(lines)} epochs together"),
        row("1.28 million images, from each epoch but the first", each, "s"),
        row("90 such epochs", [ninety / 60], "min", f"5 to 6 days in 2012: {of_2012} times faster"),
        row(
            "1.28 million images, all included",
            [whole * IMAGENET / visits],
            "s",
            "start, images to the device, checkpoints, validation at the end",
        ),
    ]


def after_a_step(stop: Callable[[], bool]) -> Callable[[], bool]:
    """`stop`, once a step has been done: a run that begins is to give a figure."""
    asked = 0

    def later() -> bool:
        nonlocal asked
        asked += 1
        return asked > 1 and stop()

    return later


class Repeated:
    """`number` images that are `BLOCK` random ones over and over, so that the host needs no room for them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, number: int, side: int) -> None:
        self.block = np.random.default_rng(0).integers(0, 256, (min(BLOCK, number), side, side, 3), dtype=np.uint8)
        self.shape = (number, side, side, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        return self.block[np.arange(len(self))[index] % len(self.block)]


class RandomImages(Prepared):
    """A prepared dataset of random images and labels, of which only the statistics are on disk."""

    def __init__(self, path: Path, side: int, train: int, val: int, classes: int) -> None:
        path.mkdir(parents=True)
        np.save(path / "mean.npy", np.full((side, side, 3), 127.5, dtype=np.float32))
        colour = {"covariance": np.eye(3).tolist(), "eigenvalues": [14830.0, 1376.0, 389.0]}
        (path / "colour.json").write_text(json.dumps({**colour, "eigenvectors": np.eye(3).tolist()}))
        self.numbers = {"train": train, "val": val}
        manifest = {
            "size": side,
            "classes": [f"class {number}" for number in range(classes)],
            "splits": {name: {"images": number} for name, number in self.numbers.items()},
            "source": {"description": "random images"},
            "statistics": {
                name: sha256((path / name).read_bytes()).hexdigest() for name in ("mean.npy", "colour.json")
            },
        }
        super().__init__(path, manifest)

    def split(self, name: str) -> Split:
        number = self.numbers[name]
        labels = np.random.default_rng(1).integers(0, len(self.classes), number)
        return Split(name, Repeated(number, self.size), labels, self.classes, [""] * number)
