"""The manifest.json of a prepared dataset, checked before anything in it is used."""

import json
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.files import write_bytes
from alexnet.reading import read_json

VERSIONS = {"raw": 1, "jpeg": 2}
"""Of the format, by store. Sets of version 1 that were written before there were two say nothing of a store."""

MOST = 1 << 28
"""Bytes of manifest.json: at 150 a skipped file, more than a million of those."""

LARGEST = 1 << 14
"""Side of prepared images, in pixels."""

TEXTS = {"source": ("description", "fingerprint"), "statistics": ("mean.npy", "colour.json")}


def read(path: Path) -> dict[str, Any]:
    """The manifest in `path`, checked where its version is known. ValueError for a damaged one, OSError as `open`."""
    manifest = read_json(path, MOST)
    if not isinstance(manifest, dict):
        raise ValueError("manifest.json is no object")
    if manifest.get("version") in VERSIONS.values():
        check(manifest)
    return manifest


def check(manifest: dict[str, Any]) -> None:
    """Raises ValueError, naming the field, for a manifest of a known version that `prepare` cannot have written."""
    _number("size", manifest.get("size"), 1, LARGEST)
    if VERSIONS.get(str(manifest.get("store", "raw"))) != manifest["version"]:
        raise ValueError("its store is not that of its version")
    classes, splits, passed = manifest.get("classes"), manifest.get("splits"), manifest.get("passed_over", {})
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes are no list of names")
    for place, names in TEXTS.items():
        texts = manifest.get(place)
        if not isinstance(texts, dict) or not all(isinstance(texts.get(name), str) for name in names):
            raise ValueError(f"its {place} is no object with {' and '.join(names)}")
    if not isinstance(splits, dict) or not splits:
        raise ValueError("its splits are no object")
    if not isinstance(passed, dict) or not all(isinstance(kinds, dict) for kinds in passed.values()):
        raise ValueError("what it has passed over is no object of objects")
    for number in (number for kinds in passed.values() for number in kinds.values()):
        _number("passed_over", number, 0, 1 << 40)
    for name, facts in splits.items():
        if not name.isidentifier():  # it is a folder's name, too
            raise ValueError("a split has a name that is none")
        if not isinstance(facts, dict):
            raise ValueError(f"split {name} is no object")
        _check_split(name, facts, len(classes))


def _check_split(name: str, facts: dict[str, Any], classes: int) -> None:
    images: Any = facts.get("images")
    lists: list[Any] = [facts.get(key) for key in ("per_class", "skipped", "checksums")]
    _number(f"{name}.images", images, 0, 1 << 40)
    if not all(isinstance(values, list) for values in lists):
        raise ValueError(f"split {name} has values of wrong kinds")
    per_class, skipped, chunks = lists
    for items, texts in ((skipped, ("file", "reason")), (chunks, ("sha256",))):
        if not all(isinstance(item, dict) and all(isinstance(item.get(key), str) for key in texts) for item in items):
            raise ValueError(f"split {name} has a skipped file or a chunk without its {' and '.join(texts)}")
    counts = [chunk.get("images") for chunk in chunks]
    for count in (*per_class, *counts):
        _number(f"{name}: a count", count, 0, images)
    if len(per_class) != classes or not sum(per_class) == sum(counts) == images:
        raise ValueError(f"split {name} has counts that contradict each other")


def _number(field: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{field} is no number from {least} to {most}")


def finished(dest: Path, begun: dict[str, Any]) -> bool:
    """Whether `dest` holds this source complete; writes begun.json into an empty one. InputError for other contents."""
    for name in ("manifest.json", "begun.json"):
        if not (dest / name).exists():
            continue
        try:
            earlier = read_json(dest / name, MOST)
            values = [
                ("--store", begun["store"], earlier.get("store", "raw")),
                ("--quality", begun.get("quality"), earlier.get("quality")),
                ("format version", begun["version"], earlier["version"]),
                ("--size", begun["size"], earlier["size"]),
                ("source", _name(begun["source"]), _name(earlier["source"])),
            ]
            if name == "begun.json":
                values.append(("form of resizing", begun["form"], earlier.get("form", 1)))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{dest / name} is no prepared dataset's: give another DEST") from None
        for option, now, then in values:
            if now != then:
                raise InputError(
                    f"{dest} was prepared with {option} {then}, this run has {option} {now}: "
                    "give another DEST, or delete that folder to prepare it anew"
                )
        return name == "manifest.json"
    if any(not path.name.startswith(".") for path in dest.iterdir()):
        raise InputError(f"{dest} is not empty and no prepared dataset: give another DEST")
    write_bytes(dest / "begun.json", json.dumps(begun).encode())
    return False


def _name(source: dict[str, str]) -> str:
    return f"{source['description']} ({source['fingerprint'][:12]})"
