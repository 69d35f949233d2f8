"""Reads an array of structs with numbers and texts from a MATLAB file.

scipy's reader is not for files from anywhere: it makes room for as many cells as a file of 200 bytes declares, unpacks
whatever is packed in it, and a damaged one can end the process. The format is MathWorks' "MAT-File Format", level 5:
elements, each a kind, a length and contents.
"""

import struct
import zlib

import numpy as np

HEADER = 128
LARGEST = 1 << 26
"""Bytes that a packed element may have when it is unpacked."""

MATRIX, COMPRESSED = 14, 15
STRUCTS, CHARACTERS = 2, 4
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}

Element = tuple[int, bytes]


def structs(content: bytes, variable: str, fields: tuple[str, ...]) -> list[dict[str, float | str]]:
    """The array of structs of that name, with these fields of each: text, or a single number.

    Raises ValueError where `content` is no MATLAB file (level 5), lacks one of them, or is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
    if order is None:
        raise ValueError("no MATLAB file of level 5")
    for kind, element in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            ((kind, element),) = _elements(_unpacked(element), order)[:1] or [(0, b"")]
        parts = _elements(element, order) if kind == MATRIX else []
        if len(parts) > 2 and parts[2][1] == variable.encode():
            return _structs(parts, fields, order)
    raise ValueError(f"no variable {variable}")


def _unpacked(element: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(element, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {LARGEST >> 20} MiB when unpacked")
    return content


def _elements(content: bytes, order: str) -> list[Element]:
    """The kind and the contents of each element. Raises ValueError where one is cut off."""
    elements, at = [], 0
    while at + 8 <= len(content):
        kind, length = struct.unpack(f"{order}II", content[at : at + 8])
        short = kind >> 16  # up to four bytes, in the place of the length
        start = at + (4 if short else 8)
        kind, length = (kind & 0xFFFF, short) if short else (kind, length)
        if start + length > len(content) or short > 4:
            raise ValueError("an element is cut off")
        elements.append((kind, content[start : start + length]))
        # Whole groups of eight bytes, but for what is packed.
        at = at + 8 if short else start + (length if kind == COMPRESSED else -(-length // 8) * 8)
    return elements


def _structs(parts: list[Element], fields: tuple[str, ...], order: str) -> list[dict[str, float | str]]:
    """The structs in `parts`: flags, sizes, name, length of the fields' names, the names, each struct's fields in turn."""
    if _class(parts, order) != STRUCTS or len(parts) < 5 or len(parts[3][1]) != 4:
        raise ValueError("no array of structs")
    (length,) = struct.unpack(f"{order}i", parts[3][1])
    if not 0 < length <= len(parts[4][1]):
        raise ValueError("its fields have no names")
    text = parts[4][1]
    names = [text[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(text), length)]
    cells = parts[5:]
    if len(cells) % len(names) or any(kind != MATRIX for kind, _ in cells):
        raise ValueError("not as many values as fields")
    places = {name: names.index(name) for name in fields}  # ValueError: no such field
    return [
        {name: _value(cells[at + place][1], order) for name, place in places.items()}
        for at in range(0, len(cells), len(names))
    ]


def _class(parts: list[Element], order: str) -> int:
    """The class of a matrix by its flags: STRUCTS, CHARACTERS or another."""
    flags = parts[0][1][:4] if parts else b""
    return struct.unpack(f"{order}I", flags)[0] & 0xFF if len(flags) == 4 else 0


def _value(matrix: bytes, order: str) -> float | str:
    parts = _elements(matrix, order)
    kind, content = parts[3] if len(parts) > 3 else (0, b"")
    if _class(parts, order) == CHARACTERS:
        encoding = ENCODINGS.get(kind, "utf-8")
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if order == "<" else "-be"
        return content.decode(encoding)
    if kind not in NUMBERS or len(content) != np.dtype(NUMBERS[kind]).itemsize:
        return float("nan")  # of several numbers, or none
    return float(np.frombuffer(content, order + NUMBERS[kind])[0])
