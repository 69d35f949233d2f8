"""Checkpoints: weights as safetensors, the rest as tensors and plain values, each folder written beside and renamed.

RUN/checkpoints/step-00000074/ holds `weights.safetensors` and `state.pt` (optimiser and counters). All randomness of a
run is a function of its seed and the step, so there is no generator state to keep.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alexnet.errors import InputError, RunFailed
from alexnet.files import sync, why
from alexnet.training.optimizer import Plateau

FORMAT = 1
WEIGHTS = "weights.safetensors"
STATE = "state.pt"
_FIX = "remove that checkpoint's folder to go on from the one before"


@dataclass
class Progress:
    """How far a run is: all that resuming needs beside weights and velocities."""

    epoch: int = 0
    """Epochs finished."""
    step_in_epoch: int = 0
    """Steps done in the epoch that is under way."""
    step: int = 0
    """Steps done in all."""
    images: int = 0
    """Training images seen in the epoch that is under way, and below: their summed loss and their number of errors."""
    loss: float = 0.0
    wrong: int = 0
    seconds: float = 0.0
    """Time spent on the epoch that is under way."""
    lowest_loss: float = float("inf")
    """Lowest mean training loss of an epoch so far."""
    plateau: Plateau = Plateau()


def name_of(step: int) -> str:
    """Folder name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def save(run: Path, weights: Mapping[str, Tensor], optimizer: dict[str, Any], progress: Progress, keep: int) -> Path:
    """Write a checkpoint and drop all but the newest `keep`. Returns its folder.

    weights, optimizer: the state_dict of the network and of its optimizer, whole, however many processes train it.

    Raises RunFailed if it cannot be written, such as on a full disk; every earlier checkpoint is then still there, whole.
    """
    folder = run / "checkpoints"
    final = folder / name_of(progress.step)
    beside = folder / f".{final.name}.{os.getpid()}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tidy(run, keep)  # what a killed process left may take the room that is needed
        beside.mkdir()
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, beside / WEIGHTS)
        state = {"format": FORMAT, "optimizer": optimizer, "progress": dataclasses.asdict(progress)}
        with (beside / STATE).open("wb") as file:  # not by its name: then torch does not say what the system said
            torch.save(state, file)
        for name in (WEIGHTS, STATE):
            _to_disk(beside / name)  # some file systems find out only now that they are full
        if final.exists():  # left by a run that was killed before it had a recipe
            _remove(final)
        os.replace(beside, final)
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch and safetensors wrap what the operating system said in errors of their own.
        shutil.rmtree(beside, ignore_errors=True)
        before = latest(run)
        kept = f"the last whole checkpoint is {before}" if before else "there is no earlier checkpoint"
        what, fix = why(error)
        raise RunFailed(
            f"checkpoint {final} could not be written: {what}; {kept}. {fix.capitalize()}, then: alexnet train --resume {run}"
        ) from error
    tidy(run, keep)
    return final


def tidy(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what killed processes left half-written or half-removed."""
    for old in _all(run)[:-keep]:
        _remove(old)
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _to_disk(file: Path) -> None:
    with file.open("r+b") as opened:
        sync(opened)


def _remove(checkpoint: Path) -> None:
    """Renamed first, so that a kill in the middle leaves no half of a checkpoint under its name."""
    aside = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.old")
    os.replace(checkpoint, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _all(run: Path) -> list[Path]:
    found = (run / "checkpoints").glob("step-*")
    return sorted(path for path in found if (path / WEIGHTS).is_file() and (path / STATE).is_file())


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, if there is one."""
    found = _all(run)
    return found[-1] if found else None


def newest(run: Path) -> Path:
    """The newest whole checkpoint of a run; InputError if there is none."""
    found = latest(run)
    if found is None:
        raise InputError(
            f"{run}: no checkpoint in {run / 'checkpoints'}; train it first: alexnet train ... --out {run}"
        )
    return found


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights by name, on the CPU. Raises InputError if the file is damaged."""
    file = checkpoint / WEIGHTS
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: cannot be read as safetensors ({error}); {_FIX}") from None


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into `model`; InputError, naming the first that does not fit, if they are another's."""
    found = weights(checkpoint)
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in found:
            raise InputError(f"{checkpoint}: no weights for {name}; they are of another network")
        if found[name].shape != tensor.shape:
            raise InputError(
                f"{checkpoint}: {name} is {list(found[name].shape)}, the network's is {list(tensor.shape)}"
            )
    for name in found:
        if name not in own:
            raise InputError(f"{checkpoint}: {name} is not in the network; the weights are of another one")
    model.load_state_dict(found)


def load_state(
    checkpoint: Path,
    optimizer: torch.optim.Optimizer,
    take: Callable[[dict[str, Any]], dict[str, Any]] = lambda state: state,
) -> Progress:
    """Put velocities and rates into `optimizer` and return the counters. Raises InputError if the file is damaged.

    take: what makes the state of this process's optimizer from the whole one, where several processes share a network.
    """
    file = checkpoint / STATE
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the damage makes it raise, with a page of advice to unpickle anything
        raise InputError(f"{file}: damaged, or not written by alexnet ({type(error).__name__}); {_FIX}") from None
    try:
        if state["format"] != FORMAT:
            raise InputError(f"{file}: format {state['format']}, this version reads {FORMAT}")
        optimizer.load_state_dict(take(state["optimizer"]))
        values = state["progress"]
        return Progress(**{**values, "plateau": Plateau(**values["plateau"])})
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not the state of this run ({error!r}); {_FIX}") from None
