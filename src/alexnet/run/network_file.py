"""A network in one file: all that predicting needs, as safetensors, weights in float16 or int8.

LAYER.weight       float16; or int8, with LAYER.weight.scale, float32, one for each kernel or unit
LAYER.bias         float32, as is whatever else has no rows
mean               float16 [S, S, 3]; eigenvalues [3] and eigenvectors [3, 3], float32: of the training set
kernels.E          conv1's kernels after E epochs, int8, with their scales kernels.E.scale; of some epochs, or of none

Its metadata are texts: alexnet_format (1), recipe, classes and error as JSON, the checkpoint's name, a note.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import tensors
from alexnet.errors import InputError
from alexnet.reading import SMALL, parse_json
from alexnet.run.checkpoint import finite
from alexnet.run.fetch import MOST
from alexnet.run.folder import MOST_CLASSES, names_of
from alexnet.run.locate import FORMAT_KEY
from alexnet.run.recipe import Recipe
from alexnet.typed import from_dict
from alexnet.words import counted, short

FORMAT = "1"

MOST_NOTE = 10_000
"""Letters of a note."""

_STATISTICS = ("mean", "eigenvalues", "eigenvectors")
_SCALE = ".scale"


@dataclass(frozen=True)
class Measured:
    """The errors of the network in a file, in percent, as they were measured when it was written."""

    top1_error: float
    top5_error: float
    views: int
    images: int

    def __str__(self) -> str:
        rates = f"top-1 error {self.top1_error:.2f} %, top-5 {self.top5_error:.2f} %"
        return f"{rates}, {counted(self.views, 'view')}, {self.images:,} images"


@dataclass(frozen=True)
class Contents:
    """All that predicting needs: what a run folder and a network file both hold."""

    where: Path
    """The checkpoint's folder, or the file, that the weights are from"""
    recipe: Recipe
    weights: dict[str, Tensor]
    """By name, as the network's state_dict has them"""
    classes: tuple[str, ...]
    mean: np.ndarray
    """float32 [S, S, 3], the mean image of the training set, 0-255"""
    eigenvalues: np.ndarray
    """[3], and the eigenvectors [3, 3] in columns, of the training pixels' RGB"""
    eigenvectors: np.ndarray
    checkpoint: str
    """Name of the checkpoint's folder, as "step-00000074\""""
    measured: Measured | None = None
    note: str = ""
    kernels: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Of a file: conv1's kernels float32 [K, 3, h, w] after so many epochs"""


# Writing --------------------------------------------------------------------------------------------------------------


def write(file: Path, contents: Contents, int8: bool = False) -> None:
    """Replace `file` by a network file of these contents, whole or not at all; the same contents have the same bytes.

    int8: weights with 8 bits and a scale for each kernel or unit, in place of float16.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, weight in contents.weights.items():
        array = weight.detach().cpu().numpy()
        if array.ndim < 2:
            arrays[name] = array if array.dtype == np.int64 else array.astype(np.float32)
        elif int8:
            arrays |= _in_bytes(name, array)
        else:
            arrays[name] = _in_halves(array)
    for epoch, kernels in contents.kernels.items():
        arrays |= _in_bytes(f"kernels.{epoch}", kernels)
    arrays["mean"] = _in_halves(contents.mean)
    arrays["eigenvalues"] = contents.eigenvalues.astype(np.float32)
    arrays["eigenvectors"] = contents.eigenvectors.astype(np.float32)
    about = {
        FORMAT_KEY: FORMAT,
        "recipe": contents.recipe.to_json(),
        "classes": json.dumps(contents.classes),
        "checkpoint": contents.checkpoint,
    }
    if contents.measured:
        about["error"] = json.dumps(dataclasses.asdict(contents.measured))
    if contents.note:
        about["note"] = contents.note
    tensors.write(file, arrays, about)


def _in_bytes(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """int8 -127..127, and a float32 scale for each row, so that a row's largest is 127."""
    rows = array.reshape(len(array), -1).astype(np.float32)
    scale = np.abs(rows).max(axis=1, initial=0.0) / np.float32(127)
    steps = np.rint(rows / np.where(scale > 0, scale, 1)[:, None]).clip(-127, 127)
    return {name: steps.astype(np.int8).reshape(array.shape), name + _SCALE: scale}


def _in_halves(array: np.ndarray) -> np.ndarray:
    """float16, or float32 where a value is beyond that."""
    beyond = np.abs(array).max(initial=0.0) > np.finfo(np.float16).max
    return array.astype(np.float32 if beyond else np.float16)


# Reading --------------------------------------------------------------------------------------------------------------


def read(file: Path) -> Contents:
    """The contents of a network file, weights as float32. InputError, naming the file, for what is none, or damaged.

    Whether the weights fit the recipe's network is found out where it is built (`trained.load`).
    """
    values, about = _read(file)
    recipe = Recipe.from_json(_text(about, "recipe", SMALL, file), f"{file}: recipe")
    classes = names_of(parse_json(_text(about, "classes", MOST_CLASSES, file), f"{file}: classes"), f"{file}: classes")
    name = _text(about, "checkpoint", 40, file)
    if not re.fullmatch(r"step-\d{8,20}", name):
        raise InputError(f"{file}: checkpoint {name!r} is no name of one; it is damaged")
    mean, eigenvalues, eigenvectors = (_statistics(values, key, file) for key in _STATISTICS)
    return Contents(
        where=file,
        recipe=recipe,
        weights={
            key: value for key, value in values.items() if key not in _STATISTICS and not key.startswith("kernels.")
        },
        classes=classes,
        mean=mean,
        eigenvalues=eigenvalues,
        eigenvectors=eigenvectors,
        checkpoint=name,
        measured=_measured(about, file),
        note=_text(about, "note", MOST_NOTE, file, optional=True),
        kernels=_kernels(values, file),
    )


def read_kernels(file: Path) -> dict[int, np.ndarray]:
    """Only conv1's kernels after some epochs, as `read` has them; InputError as that, for what is wrong with them."""
    values, _ = _read(file, ("kernels.", "conv1.weight"))
    return _kernels(values, file)


def _read(file: Path, starts: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The values whose names have one of these starts, and the texts of a network file; InputError for what is none."""
    arrays, about = tensors.read(file, MOST, starts)
    if FORMAT_KEY not in about:
        raise InputError(
            f"{file}: no network file of alexnet export RUN alexnet; weights of others: alexnet import {file}"
        )
    if about[FORMAT_KEY] != FORMAT:
        raise InputError(f"{file}: format {short(about[FORMAT_KEY], 20)}, this version reads {FORMAT}")
    return {key: _values(arrays, key, file) for key in arrays if not _is_scale(arrays, key)}, about


def _text(about: Mapping[str, str], key: str, most: int, file: Path, optional: bool = False) -> str:
    if key not in about and not optional:
        raise InputError(f"{file}: no {key} in it; it is damaged")
    text = about.get(key, "")
    if len(text) > most:
        raise InputError(f"{file}: its {key} has {len(text):,} letters, at most {most:,} can be; it is damaged")
    return text


def _is_scale(arrays: Mapping[str, Tensor], name: str) -> bool:
    return name.endswith(_SCALE) and name.removesuffix(_SCALE) in arrays


def _values(arrays: Mapping[str, Tensor], name: str, file: Path) -> Tensor:
    """A tensor's values, float32 whatever they are stored as, or int64; a copy, which no change of the file can reach."""
    array = arrays[name]
    if array.dtype == torch.int8:
        scale = arrays.get(name + _SCALE)
        if scale is None or scale.dtype != torch.float32 or not array.ndim or scale.shape != array.shape[:1]:
            raise InputError(f"{file}: {name} has no scale for each of its rows; it is damaged")
        array = array.float() * scale.view(-1, *[1] * (array.ndim - 1))
    elif array.dtype in (torch.float16, torch.float32):
        array = array.to(torch.float32, copy=True)
    elif array.dtype == torch.int64:
        array = array.clone()
    else:
        raise InputError(f"{file}: {name} is of {array.dtype}, which no network file has; it is damaged")
    if not finite(array):
        raise InputError(f"{file}: {name} has NaN or infinite values; copy or download it again")
    return array


def _statistics(values: Mapping[str, Tensor], name: str, file: Path) -> np.ndarray:
    array = values.get(name, torch.zeros(()))
    side = len(array) if array.ndim else 0
    shape = {"mean": (side, side, 3), "eigenvalues": (3,), "eigenvectors": (3, 3)}[name]
    if not side or tuple(array.shape) != shape or array.dtype != torch.float32:
        raise InputError(f"{file}: {name} is missing, or of {array.dtype} {list(array.shape)}; it is damaged")
    return array.numpy()


def _kernels(values: Mapping[str, Tensor], file: Path) -> dict[int, np.ndarray]:
    kernels: dict[int, np.ndarray] = {}
    conv1 = values.get("conv1.weight", torch.zeros(()))
    for name in values:
        if name.startswith("kernels."):
            epoch = re.fullmatch(r"kernels\.(\d{1,9})", name)
            if not epoch or values[name].shape != conv1.shape or values[name].dtype != torch.float32:
                raise InputError(f"{file}: {short(name, 40)} are no kernels of conv1 after an epoch; it is damaged")
            kernels[int(epoch[1])] = values[name].numpy()
    return dict(sorted(kernels.items()))


def _measured(about: Mapping[str, str], file: Path) -> Measured | None:
    if "error" not in about:
        return None
    value: Any = parse_json(_text(about, "error", 1000, file), f"{file}: error")
    measured: Measured = from_dict(Measured, value, f"{file}: error")
    if not (0 <= measured.top5_error <= 100 and 0 <= measured.top1_error <= 100):
        raise InputError(f"{file}: error: no percentages; it is damaged")
    return measured
