"""Checkpoints: weights as safetensors, the rest as tensors and plain values, each folder written beside and renamed.

RUN/checkpoints/step-00000074/ holds `weights.safetensors` and `state.pt` (optimiser and counters). All randomness of a
run is a function of its seed and the step, so there is no generator state to keep.
"""

import dataclasses
import math
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
from alexnet.reading import check_archive
from alexnet.run.folder import CHECKPOINTS
from alexnet.run.schedule import Plateau
from alexnet.typed import from_dict

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
    early: Plateau = Plateau()
    """What early stopping remembers (`Recipe.stop_after`)."""


def name_of(step: int) -> str:
    """Folder name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def save(run: Path, weights: Mapping[str, Tensor], optimizer: dict[str, Any], progress: Progress, keep: int) -> Path:
    """Write a checkpoint and drop all but the newest `keep`. Returns its folder.

    weights, optimizer: the state_dict of the network and of its optimizer, whole, however many processes train it.

    Raises RunFailed if it cannot be written, such as on a full disk; every earlier checkpoint is then still there, whole.
    """
    folder = run / CHECKPOINTS
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
            with (beside / name).open("r+b") as written:
                sync(written)  # some file systems find out only now that they are full
        if final.exists():  # left by a run that was killed before it had a recipe
            _remove(final)
        os.replace(beside, final)
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch and safetensors wrap what the operating system said in errors of their own.
        shutil.rmtree(beside, ignore_errors=True)
        before = latest(run)
        earlier = f"the last whole checkpoint is {before}" if before else "there is no earlier checkpoint"
        reason, fix = why(error)
        raise RunFailed(
            f"checkpoint {final} could not be written: {reason}; {earlier}. {fix.capitalize()}, then: alexnet train --resume {run}"
        ) from error
    tidy(run, keep)
    return final


def tidy(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what killed processes left half-written or half-removed."""
    for old in _all(run)[:-keep]:
        _remove(old)
    for leftover in (run / CHECKPOINTS).glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    """Renamed first, so that a kill in the middle leaves no half of a checkpoint under its name."""
    aside = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.old")
    os.replace(checkpoint, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _all(run: Path) -> list[Path]:
    folders = (run / CHECKPOINTS).glob("step-*")
    return sorted(path for path in folders if (path / WEIGHTS).is_file() and (path / STATE).is_file())


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, if there is one."""
    return max(_all(run), default=None)


def newest(run: Path) -> Path:
    """The newest whole checkpoint of a run; InputError if there is none."""
    checkpoint = latest(run)
    if checkpoint is None:
        raise InputError(f"{run}: no checkpoint in {run / CHECKPOINTS}; train it first: alexnet train ... --out {run}")
    # A kill leaves no half of one under its name, so that a newer one was damaged by something else.
    for newer in sorted((run / CHECKPOINTS).glob("step-*")):
        if newer.name > checkpoint.name:
            raise InputError(f"{newer}: {WEIGHTS} or {STATE} is missing; {_FIX}, {checkpoint.name}")
    return checkpoint


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights by name, on the CPU. Raises InputError if the file is damaged, or has NaN or infinite values."""
    file = checkpoint / WEIGHTS
    try:
        tensors = load_file(file)
    except (SafetensorError, FileNotFoundError) as error:
        raise InputError(f"{file}: cannot be read as safetensors ({error}); {_FIX}") from None
    for name, tensor in tensors.items():
        if not finite(tensor):
            raise InputError(f"{file}: {name} has NaN or infinite values; {_FIX}")
    return tensors


def finite(tensor: Tensor) -> bool:
    """Whether all values are finite as float32, which is what is computed with."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # NaN goes through the least and the greatest; no tensor of truths is made of 61 million weights.
    least, greatest = tensor.float().aminmax()
    return math.isfinite(float(least)) and math.isfinite(float(greatest))


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into `model`; see `put_weights`."""
    put_weights(model, weights(checkpoint), checkpoint)


def put_weights(model: nn.Module, loaded: Mapping[str, Tensor], where: Path) -> None:
    """Put weights, read from `where`, into `model`; InputError, naming the first that does not fit, if they are another's.

    A model on the device "meta" gets memory for them here, after they have been found to fit.
    """
    initial = model.state_dict()
    for name, tensor in initial.items():
        if name not in loaded:
            raise InputError(f"{where}: no weights for {name}; they are of another network")
        if loaded[name].shape != tensor.shape:
            raise InputError(f"{where}: {name} is {list(loaded[name].shape)}, the network's is {list(tensor.shape)}")
        if loaded[name].is_floating_point() != tensor.is_floating_point():
            raise InputError(
                f"{where}: {name} is of {loaded[name].dtype}, the network's of {tensor.dtype}; it is damaged"
            )
    for name in loaded:
        if name not in initial:
            raise InputError(f"{where}: {name} is not in the network; the weights are of another one")
    meta = any(tensor.is_meta for tensor in initial.values())
    model.load_state_dict({name: loaded[name].to(initial[name].dtype) for name in initial}, assign=meta)


def state_of(checkpoint: Path) -> dict[str, Any]:
    """What state.pt holds: "optimizer" and "progress". InputError if it is damaged, larger than it looks, or of other kinds."""
    file = checkpoint / STATE
    try:
        check_archive(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the damage makes it raise, with a page of advice to unpickle anything
        raise InputError(f"{file}: damaged, or not written by alexnet ({type(error).__name__}); {_FIX}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        number = state.get("format") if isinstance(state, dict) else None
        raise InputError(
            f"{file}: format {number if type(number) is int and number < 1000 else '?'}, this version reads {FORMAT}"
        )
    return state


def progress_of(state: dict[str, Any], where: Path) -> Progress:
    """The counters of a state; InputError, naming the field, for values that no run can have come to."""
    values: Any = state.get("progress")
    progress: Progress = from_dict(Progress, values, f"{where}: progress")
    wanted = {field.name for field in dataclasses.fields(Progress)} - {"early"}  # which older runs do not have
    if missing := wanted - set(values):
        raise InputError(f"{where}: not the state of this run (progress without {min(missing)}); {_FIX}")
    parts = (progress, progress.plateau, progress.early)
    for name, value in (pair for part in parts for pair in vars(part).items()):
        endless = name in ("lowest_loss", "best") and value == math.inf  # nothing measured so far
        if isinstance(value, int | float) and not (0 <= value < 1 << 53 or endless):
            raise InputError(f"{where}: progress.{name} is below 0, NaN or beyond all counting; {_FIX}")
    return progress


def load_state(
    checkpoint: Path,
    optimizer: torch.optim.Optimizer,
    take: Callable[[dict[str, Any]], dict[str, Any]] = lambda state: state,
) -> Progress:
    """Put velocities into `optimizer` and return the counters. Raises InputError if the file is damaged, or not this run's.

    take: what makes the state of this process's optimizer from the whole one, where several processes share a network.
    """
    file = checkpoint / STATE
    state = state_of(checkpoint)
    try:
        progress = progress_of(state, file)
        part = take(state["optimizer"])
        _check_optimizer(part, optimizer, progress.step > 0)
        optimizer.load_state_dict(part)
        return progress
    except InputError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: not the state of this run ({why}); {_FIX}") from None


def _check_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer, stepped: bool) -> None:
    """ValueError unless `state` has the groups of `optimizer`, but for the rates, and a velocity of every weight it moves."""
    groups = state["param_groups"]
    if len(groups) != len(optimizer.param_groups):
        raise ValueError(f"{len(groups)} groups of weights, not {len(optimizer.param_groups)}")
    at = 0
    for saved, group in zip(groups, optimizer.param_groups, strict=True):
        numbers = list(range(at, at + len(group["params"])))
        for name, value in {**group, "params": numbers}.items():
            if name == "lr":
                right = type(saved[name]) is float and 0 <= saved[name] < math.inf
            else:
                right = type(saved[name]) is type(value) and saved[name] == value
            if not right:
                raise ValueError(f"its {name} is another than the recipe's")
        for number, weight in zip(numbers, group["params"], strict=True):
            if number in state["state"] or (stepped and weight.requires_grad):
                _check_velocity(state["state"][number]["v"], weight)
        at += len(numbers)
    if set(state["state"]) - set(range(at)):
        raise ValueError("velocities of weights that are not there")


def _check_velocity(v: Any, weight: Tensor) -> None:
    # Looked at before it is copied: a tensor of a few bytes may be expanded to any shape.
    if not isinstance(v, Tensor) or v.layout != torch.strided or v.device.type != "cpu" or v.dtype != weight.dtype:
        raise ValueError("a velocity that is no tensor of numbers as the weights are")
    if v.shape != weight.shape:
        raise ValueError(f"a velocity of {list(v.shape)} for weights of {list(weight.shape)}")
    if not finite(v):
        raise ValueError("a velocity has NaN or infinite values")
