"""A run folder is made of a network that was not trained here: written beside its place and renamed when it is whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data.prepared import Prepared
from alexnet.data.statistics import Colour
from alexnet.errors import InputError, RunFailed
from alexnet.exchange.comparison import Difference
from alexnet.exchange.foreign import Kind
from alexnet.files import refused, write_bytes, write_text
from alexnet.network.model import AlexNet
from alexnet.run import checkpoint, growth
from alexnet.run.checkpoint import Progress
from alexnet.run.folder import CLASSES, COLOUR, DATA, MEAN, RECIPE
from alexnet.run.recipe import Recipe
from alexnet.training import rule


@dataclass(frozen=True)
class Imported:
    """A run folder made of a file's weights, and how near its network is to the file's."""

    run: Path
    kind: Kind
    network: str
    """The name of its network."""
    classes: int
    notes: tuple[str, ...]
    """Sentences on what the file leaves open and how it was read."""
    by: str
    """What computed the file's outputs."""
    difference: Difference

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        document = vars(self) | {"run": str(self.run), "notes": list(self.notes)}
        return {name: value for name, value in document.items() if name != "difference"} | self.difference.to_dict()


def check_free(out: Path) -> None:
    """Raise InputError if there is something at `out` already, but for an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: there is something already; use another folder")


def write(
    out: Path,
    recipe: Recipe,
    network: AlexNet,
    classes: Sequence[str],
    mean: np.ndarray,
    colour: Colour,
    source: str,
    data: Prepared | None = None,
    kernels: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Make the run folder `out`: recipe, checkpoint of step 0, classes, mean, colours. A killed process leaves none of its name.

    source: what the weights are from. data: what commands take where no other data is named. kernels: conv1's after some
    epochs. Raises InputError for a recipe that no run can use and a folder that cannot be made, RunFailed if there is no room.
    """
    recipe.check()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InputError(f"--out {refused(error, out)}") from None
    try:
        (beside / MEAN).parent.mkdir()
        np.save(beside / MEAN, mean)
        write_text(beside / COLOUR, json.dumps(colour.to_json()))
        write_text(beside / CLASSES, json.dumps(list(classes), indent=2) + "\n")
        # The path may be of a file: then commands ask for --data, and say why.
        described = {"description": "unknown: the weights are imported"} if data is None else data.manifest["source"]
        document = {"path": str(data.path.resolve()) if data else source, "source": described, "imported": source}
        write_text(beside / DATA, json.dumps(document) + "\n")
        for epoch, each in (kernels or {}).items():
            growth.keep(beside, epoch, torch.from_numpy(each))
        sgd = rule.optimizer_of(recipe, network)
        checkpoint.save(beside, network.state_dict(), sgd.state_dict(), Progress(), recipe.keep)
        write_bytes(beside / RECIPE, recipe.to_json().encode())
        beside.chmod(0o755)
        os.replace(beside, out)
    except OSError as error:
        raise RunFailed(refused(error, out)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
