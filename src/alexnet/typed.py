"""Typed values from JSON: a dataclass again from the dictionaries and lists that were made of one."""

from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from alexnet.errors import InputError
from alexnet.words import short


def from_dict(kind: Any, values: dict[str, Any], where: str = "network") -> Any:
    """Build dataclass `kind` (Network, Recipe ...) from the dictionary that `dataclasses.asdict` and JSON made of one.

    Raises InputError, naming the field, for one that `kind` does not have, one that is missing, or a value of another
    type than its annotation's.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: {_short(values)}; it must be an object")
    known = {field.name: field for field in fields(kind)}
    for name in values:
        if name not in known:
            raise InputError(f"{where}.{str(name)[:60]}: no such field; the fields are {', '.join(known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise InputError(f"{where}.{name} is missing")
    return kind(**{name: _typed(known[name].type, value, f"{where}.{name}") for name, value in values.items()})


def _typed(annotation: Any, value: Any, where: str) -> Any:
    # JSON knows no tuples, no dataclasses and hardly a float; the annotation says what a value was.
    if isinstance(annotation, UnionType):  # the only ones are "or None"
        return None if value is None else _typed(get_args(annotation)[0], value, where)
    if is_dataclass(annotation):
        if isinstance(value, str) and hasattr(annotation, "parse"):
            return annotation.parse(value)
        return from_dict(annotation, value, where)
    if (sequence := get_origin(annotation)) in (tuple, list):
        if isinstance(value, list):
            inner = get_args(annotation)[0]
            return sequence(_typed(inner, item, f"{where}.{number}") for number, item in enumerate(value))
        raise InputError(f"{where}: {_short(value)}; it must be a list")
    if get_origin(annotation) is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(annotation)):
            return value
        raise InputError(f"{where}: {_short(value)}; choose one of {', '.join(map(str, get_args(annotation)))}")
    if annotation is float and type(value) is int and abs(value) < 1 << 1000:
        return float(value)
    if type(value) is not annotation:  # not isinstance: a bool is an int
        raise InputError(f"{where}: {_short(value)}; it must be {_WORDS[annotation]}")
    return value


def _short(value: Any) -> str:
    """A value of somebody else's as text for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of thousands of digits, of lists within lists
        return f"a value of type {type(value).__name__} without end"
    return short(text, 60)


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
