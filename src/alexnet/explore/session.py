"""What the explorer has open: runs, images, a dataset, and what was computed of them lately."""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data.builtin import photographs
from alexnet.data.image import to_square
from alexnet.data.prepared import Prepared
from alexnet.device import keep_memory, pick
from alexnet.errors import InputError, RunFailed
from alexnet.explore import values
from alexnet.explore.images import Images, NotThere, Picture
from alexnet.explore.jobs import Jobs
from alexnet.explore.recent import Recent
from alexnet.explore.turns import Turns
from alexnet.insight.attribution import Occlusion, occlusion
from alexnet.run import checkpoint
from alexnet.run import trained as trained_networks
from alexnet.run.dataset import dataset_of
from alexnet.run.locate import STARTER
from alexnet.run.trained import TrainedNetwork
from alexnet.words import short


class OpenRun:
    """A run and its network, of the newest checkpoint that was asked for."""

    def __init__(self, id: str, given: Path | str, device: torch.device) -> None:
        self.id, self.given, self.device = id, given, device
        self.trained = self._load()

    def refresh(self) -> None:
        """Take a newer checkpoint where a training has written one; what cannot be read, as it is just being replaced, is not."""
        newest = checkpoint.latest(self.trained.path) if self.trained.path.is_dir() else None
        if newest is not None and newest.name != self.trained.checkpoint:
            with suppress(InputError, OSError):
                self.trained = self._load()

    def _load(self) -> TrainedNetwork:
        trained = trained_networks.load(self.given, self.device)
        # Gradients are asked for of images alone.
        return trained.requires_grad_(False)


class Session:
    """All that the explorer answers from. Threads may call it."""

    def __init__(
        self,
        runs: Sequence[Path | str] = (),
        data: Path | None = None,
        images: Sequence[str] = (),
        device: str = "auto",
        live: bool = True,
    ) -> None:
        """runs: as `run.trained.load` takes them; none: the starter. The first decides which images validate, and whose dataset
        is opened where `data` names none and it is there.

        images: files, or ids of images of the dataset, that are there from the start. Where there are neither images nor a
        dataset, photographs that come with the dependencies.
        live: whether there is a server behind the page. Raises InputError for a run, an image or a dataset that cannot be opened.
        """
        runs = runs or (STARTER,)
        keep_memory()
        chosen = pick(device)
        self.live = live
        self.runs = {id: OpenRun(id, run, chosen) for id, run in zip(_ids(runs), runs, strict=True)}
        first = next(iter(self.runs.values())).trained
        self.data = _dataset(first, data)
        self.images = Images(first.recipe, self.data)
        for name in images or ([] if self.data else photographs()):
            self.images.give(name, first.classes)
        self.turns = Turns()
        self.jobs = Jobs(self.turns)
        self._answers: Recent[dict[str, Any]] = Recent(256)
        self._steps: Recent[dict[str, np.ndarray]] = Recent(6)
        self._occlusions: Recent[Occlusion] = Recent(64)
        self._occluding = threading.Lock()

    def run(self, id: str) -> OpenRun:
        """The run of that id. Raises NotThere."""
        if id not in self.runs:
            raise NotThere(f"no run {short(id)}; there are {', '.join(self.runs)}")
        return self.runs[id]

    def square(self, trained: TrainedNetwork, picture: Picture) -> np.ndarray:
        """An image at the size that a network takes, uint8 [S, S, 3]."""
        return self.images.square(picture, trained.size)

    def answer(self, run: OpenRun, picture: Picture) -> dict[str, Any]:
        """`values.answer`, kept for a while."""
        return self._once(
            self._answers, run, picture, lambda trained, pixels: values.answer(trained, pixels, picture.label)
        )

    def steps(self, run: OpenRun, picture: Picture) -> dict[str, np.ndarray]:
        """`values.steps`, kept for a while."""
        return self._once(self._steps, run, picture, values.steps)

    def why(self, run: OpenRun, picture: Picture, label: int) -> dict[str, Any]:
        """`values.why`; the occlusion, which takes longest and is of all labels at once, is kept for a while."""
        trained = run.trained
        view = values.view(trained, self.square(trained, picture))[0]
        values.check_label(trained, label)
        with self._occluding:  # one at a time, giving way to all else
            occluded = self._occlusions.get(
                (run.id, trained.checkpoint, picture.id),
                lambda: occlusion(trained.network, view, progress=lambda done, total: self.turns.give_way()),
            )
        with self.turns.next():
            return values.why(trained, view, label, occluded)

    def _once(
        self,
        kept: Recent[Any],
        run: OpenRun,
        picture: Picture,
        compute: Callable[[TrainedNetwork, np.ndarray], Any],
    ) -> Any:
        trained = run.trained  # read once: another thread may take a newer checkpoint
        key = run.id, trained.checkpoint, picture.id
        value = kept.look(key)
        if value is None:
            pixels = self.square(trained, picture)
            with self.turns.next():  # who waited for another that asked for the same takes what that has made
                value = kept.get(key, lambda: compute(trained, pixels))
        return value

    def warm(self) -> None:
        """Compute once with every network, before several threads do: the first image then does not wait for libraries.

        Two threads in which a compiled loop is called for the first time may wait for each other for ever, as one compiles,
        or loads, what the other is importing.
        """
        for run in self.runs.values():
            size, trained = run.trained.size, run.trained
            grey = to_square(np.full((size + 1, size, 3), 128, np.uint8), size)
            with suppress(RunFailed):  # of a network that answers with NaN: said when it is asked
                values.answer(trained, grey, None)
            values.steps(trained, grey)
            with torch.inference_mode():
                trained.network(values.view(trained, grey))

    def close(self) -> None:
        """End what works in the background."""
        self.turns.end()
        self.jobs.close()


def _ids(runs: Sequence[Path | str]) -> list[str]:
    """A name for each run that a URL can hold, no two alike: its folder's, or its file's."""
    ids: list[str] = []
    for run in runs:
        name = Path(run).absolute().name.removesuffix(".safetensors")
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"
        number, id = 1, name
        while id in ids:
            number, id = number + 1, f"{name}-{number + 1}"
        ids.append(id)
    return ids


def _dataset(trained: TrainedNetwork, data: Path | None) -> Prepared | None:
    """The dataset that is named, or else the run's own if it is there."""
    try:
        return dataset_of(trained, data)
    except InputError:
        if data is not None:
            raise
        return None
