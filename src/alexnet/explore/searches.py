"""What is searched among the training images, in the background: an image's nearest ones, and what excites a unit most."""

import os
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.prepared import Prepared, Split
from alexnet.data.views import places
from alexnet.explore.images import NO_DATA, NotThere, Picture
from alexnet.explore.jobs import Job
from alexnet.explore.session import OpenRun, Session
from alexnet.insight import layers
from alexnet.network.model import AlexNet
from alexnet.run.images import training_of
from alexnet.run.trained import TrainedNetwork
from alexnet.words import short

LOOKED_AT = 2000
"""Training images that are looked at for what excites a unit, at the most."""

PATCHES = 9
"""Patches of a unit."""

MOST = 50
"""Neighbours that can be asked for."""


def neighbours(session: Session, run: OpenRun, picture: Picture, count: int) -> dict[str, Any]:
    """The training images nearest to an image in the last hidden layer, or how far their features are. Raises NotThere."""
    from alexnet.insight.neighbours import search_in, searched_of

    trained, data = run.trained, _data_for(session, run.trained)
    job = session.jobs.ask(("features", run.id, trained.checkpoint), partial(_features, trained, data))
    if not job.ready:
        return job.state()
    searched = searched_of(trained.recipe, data, "train")
    network, blocks = job.result
    count = min(max(1, count), MOST, len(searched))
    with session.turns.next():
        # One more, as the image itself may be among them.
        near = search_in(network, session.square(trained, picture)[None], blocks, searched, count + 1)
    split = data.split("train")
    rows = [
        {"id": f"train-{row['index']}", "name": row["file"], "label": row["class"], "distance": row["distance"]}
        for row in near.listed(split)[0]
    ]
    rows = [row for row in rows if row["id"] != picture.id][:count]
    return {"state": "ready", "searched": near.searched, "neighbours": rows}


def _features(trained: TrainedNetwork, data: Prepared, progress: Any) -> tuple[TrainedNetwork, list[Tensor]]:
    from alexnet.insight.features import features_of_split

    copy = twin(trained)
    kept = trained.path.is_dir() and os.access(trained.path, os.W_OK)
    folder = None if kept else Path(_beside(trained.path, trained.checkpoint).name)
    return copy, list(features_of_split(copy, data, "train", progress=progress, folder=folder))


@cache
def _beside(path: Path, checkpoint: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for the features of a run whose own cannot be written; it goes with the process."""
    return tempfile.TemporaryDirectory(prefix="alexnet-")


@dataclass(frozen=True)
class Excited:
    """What excites every unit of a layer most, among some training images."""

    strongest: Any
    """`units.Strongest`, of the images at `indices` of `split`"""
    indices: np.ndarray
    split: Split


def units(session: Session, run: OpenRun, step: str, unit: int) -> dict[str, Any]:
    """The patches of training images that excite a unit most, or how far they are. Raises NotThere."""
    trained, data = run.trained, _data_for(session, run.trained)
    layer = _layer_of(trained.network, step)
    number = len(trained.network.get_parameter(f"{layer}.bias"))
    if not 0 <= unit < number:
        raise NotThere(f"{layer} has the units 0 to {number - 1}")
    job: Job = session.jobs.ask(("units", run.id, trained.checkpoint, layer), partial(_excited, trained, data, layer))
    if not job.ready:
        return job.state()
    return {
        "state": "ready",
        "searched": len(job.result.indices),
        "patches": _patches(trained, layer, unit, job.result),
    }


def _layer_of(network: AlexNet, step: str) -> str:
    for layer, names in layers.steps(network).items():
        if step in names:
            return layer
    raise NotThere(f"no step {short(step)} that has units; a layer's name will do, as conv1")


def _excited(trained: TrainedNetwork, data: Prepared, layer: str, progress: Any) -> Excited:
    from alexnet.insight.units import strongest

    copy = twin(trained)
    split, indices = training_of(trained.recipe, data)
    chosen = np.sort(np.random.default_rng(trained.recipe.seed).permutation(indices)[:LOOKED_AT])
    name = layers.activated(copy.network, layer)
    batches = layers.in_batches(copy, split.images, chosen, {name}, progress)
    return Excited(strongest((batch[name] for batch in batches), PATCHES), chosen, split)


def _patches(trained: TrainedNetwork, layer: str, unit: int, excited: Excited) -> list[dict[str, Any]]:
    from alexnet.insight.units import receptive_field

    network, split = trained.network, excited.split
    field = receptive_field(network, layer)
    rectified = isinstance(network.get_submodule(layers.activated(network, layer)), nn.ReLU)
    ((_, top, left),) = places(trained.preparation.positions)
    side = trained.preparation.input_size
    best = excited.strongest
    patches = []
    for value, image, at in zip(
        best.values[unit].tolist(), best.images[unit].tolist(), best.places[unit].tolist(), strict=True
    ):
        if rectified and value <= 0:  # nothing excites it, so there is no place to show
            continue
        number = int(excited.indices[image])
        (y, height), (x, width) = (_read(field.start + field.stride * place, field.size, side) for place in at)
        box = [left + x, top + y, width, height]
        label = split.classes[split.labels[number]]
        patches.append({"id": f"train-{number}", "value": value, "box": box, "label": label})
    return patches


def _read(start: int, size: int, side: int) -> tuple[int, int]:
    """The pixels of a field that are in a crop of `side` pixels: the first, and how many."""
    first = max(0, start)
    return first, min(side, start + size) - first


def _data_for(session: Session, trained: TrainedNetwork) -> Prepared:
    if session.data is None:
        raise NotThere(NO_DATA)
    if session.data.classes != trained.classes or session.data.size != trained.size:
        raise NotThere(
            f"{session.data.path} is not like what {trained.path.name} was trained on: other classes or sizes"
        )
    return session.data


def twin(trained: TrainedNetwork) -> TrainedNetwork:
    """The same network, weights and all, as another module: what is hooked to it does not see what the page asks of the first."""
    with torch.device("meta"):
        network = AlexNet(trained.network.spec)
    network.load_state_dict(trained.network.state_dict(), assign=True)
    other = TrainedNetwork(trained.path, trained.contents, network, trained.precision)
    return other.to(trained.preparation.mean.device).requires_grad_(False)
