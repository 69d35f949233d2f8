"""Named arrays in one file with texts about them: safetensors, the same bytes each time it is written, read within bounds."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from alexnet.errors import InputError
from alexnet.files import write_bytes
from alexnet.reading import check_plain

_KINDS = {"float32": "F32", "float16": "F16", "int8": "I8", "int64": "I64"}


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Replace `path` by a file of these arrays (float32, float16, int8 or int64) and texts, whole or not at all."""
    # By hand, as safetensors' own functions copy what they save and write the texts in another order every time: eight bytes
    # with the header's length, the header, the data. Wide numbers come first, so that all lie at multiples of their width.
    names, end = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)), 0
    document: dict[str, object] = {"__metadata__": dict(metadata)}
    for name in names:
        start, end = end, end + arrays[name].nbytes
        kind, shape = _KINDS[str(arrays[name].dtype)], list(arrays[name].shape)
        document[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(document).encode()
    header += b" " * (-len(header) % 8)
    parts = (np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data for name in names)
    write_bytes(path, len(header).to_bytes(8, "little") + header, *parts)


def read(path: Path, most: int, starts: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file of at most `most` bytes whose names have one of these starts, and its texts.

    InputError, naming the file, for what is damaged or no such file.
    """
    try:
        check_plain(path, most)
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(starts)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (
        SafetensorError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:  # the others: of kinds that torch does not have
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as safetensors ({reason}); copy or download it again") from None


def metadata(path: Path) -> dict[str, str]:
    """The texts in such a file; none where it has none, is damaged, is another file, or is not there."""
    try:
        check_plain(path, 1 << 62)
        with path.open("rb") as start:
            if not is_safetensors(start.read(9)):
                return {}
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError, ValueError):
        return {}


def is_safetensors(start: bytes) -> bool:
    """Whether a file with this `start` is one: it has the length of its header in 8 bytes, then the header."""
    return start[7:9] == b"\0{"
