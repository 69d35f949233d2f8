"""An ONNX file is read without running anything or leaving its folder, and run by onnxruntime to compare with.

Needs the packages of the extra `export`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange.runtimes import onnx_session
from alexnet.extras import need
from alexnet.network.spec import MAX_WEIGHTS
from alexnet.reading import parse_json


@dataclass(frozen=True)
class Opened:
    """A graph, its constants by name and its one input."""

    path: Path
    model: Any
    constants: dict[str, np.ndarray]
    input: str
    size: int | None
    """Side of the input in pixels; None where the file leaves it open."""
    batch: int | None
    """The number of images at a time, where the file fixes it."""
    classes: list[str] | None
    """Names of the classes, in a file that `alexnet export` wrote."""


def read(file: Path) -> Opened:
    """Read an .onnx file; InputError if it is damaged, has weights outside its folder, or another kind of input."""
    need("export", "onnx", "onnxruntime")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except (DecodeError, RuntimeError, ValueError, MemoryError) as error:
        raise InputError(f"{file}: cut short, damaged, or no ONNX file ({error})") from None
    if not model.graph.node:
        raise InputError(f"{file}: no nodes in it; it is no ONNX network")
    constants = {tensor.name: _array(tensor, file) for tensor in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                constants[node.output[0]] = _array(attribute.t, file)
            elif attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
                constants[node.output[0]] = np.array(onnx.helper.get_attribute_value(attribute))
    if _names_file(model):
        raise InputError(
            f"{file}: weights outside the file that are neither initializers nor constants of its graph; save it whole"
        )
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"{file}: {len(inputs)} inputs; a network here reads one batch of images")
    shape = [dim.dim_value or None for dim in inputs[0].type.tensor_type.shape.dim]
    if len(shape) != 4 or shape[1] not in (3, None) or shape[2] != shape[3]:
        raise InputError(f"{file}: its input {inputs[0].name} is {shape}; a network here reads [N, 3, S, S]")
    return Opened(file, model, constants, inputs[0].name, shape[2], shape[0], _classes(model))


def _names_file(message: Any) -> bool:
    """Return whether any tensor, in subgraphs and functions too, names a file, which onnxruntime would open."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        return bool(message.data_location == TensorProto.EXTERNAL)
    parts = (value for field, value in message.ListFields() if field.message_type)
    return any(_names_file(inner) for part in parts for inner in (part if hasattr(part, "__len__") else [part]))


def _array(tensor: Any, file: Path) -> np.ndarray:
    from onnx import TensorProto, numpy_helper

    where = f"{file}: {tensor.name or 'a constant'}"
    if any(dim < 0 for dim in tensor.dims) or math.prod(tensor.dims) > MAX_WEIGHTS:
        raise InputError(f"{where} is {list(tensor.dims)}; the file is damaged")
    if tensor.data_location == TensorProto.EXTERNAL:
        _take_in(tensor, file.parent, where)
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise InputError(f"{where} has not the numbers of its shape {list(tensor.dims)} ({error})") from None


def _take_in(tensor: Any, folder: Path, where: str) -> None:
    """Bring weights that lie in another file of the same folder into the tensor; InputError for one anywhere else."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    try:
        place = (folder / name).resolve()
        inside = bool(name) and not Path(name).is_absolute() and place.is_relative_to(folder.resolve())
        inside = inside and place.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, a link to itself
        inside = False
    if not inside:
        raise InputError(f"{where}: its weights are in {name[:200]!r}, which is no file of the folder {folder}")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        most = min(place.stat().st_size, 8 * math.prod(tensor.dims))  # no number of a shape takes more
        with place.open("rb") as data:
            data.seek(offset)
            content = data.read(min(length, most) if length >= 0 else most)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {place.name} cannot be read there ({error})") from None
    tensor.raw_data = content
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _classes(model: Any) -> list[str] | None:
    text = next((entry.value for entry in model.metadata_props if entry.key == "classes"), "null")
    try:
        names = parse_json(text, "classes")
    except InputError:
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def runner(file: Opened, output: str) -> Callable[[Tensor], Tensor]:
    """Return a function that runs the file in onnxruntime: float32 [N, 3, S, S] -> the tensor called `output`, [N, classes]."""
    from onnx import TensorProto, helper

    model = type(file.model)()
    model.CopyFrom(file.model)
    if output not in [value.name for value in model.graph.output]:
        model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    try:
        session = onnx_session(model.SerializeToString())
    except Exception as error:  # onnxruntime's own kinds, one for each way a graph can be wrong
        raise InputError(f"{file.path}: onnxruntime does not take it ({str(error).splitlines()[0]})") from None

    def run(images: Tensor) -> Tensor:
        batch = file.batch or len(images)
        parts = F.pad(images, (0, 0, 0, 0, 0, 0, 0, -len(images) % batch)).split(batch)
        try:
            outputs = [session.run([output], {file.input: part.numpy()})[0] for part in parts]
        except Exception as error:
            raise InputError(f"{file.path}: onnxruntime cannot run it ({str(error).splitlines()[0]})") from None
        return torch.from_numpy(np.concatenate(outputs)[: len(images)]).flatten(1)

    return run
