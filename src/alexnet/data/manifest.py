"""What manifest.json of a prepared dataset says, looked at before anything is done that it says."""

from pathlib import Path
from typing import Any

from alexnet.reading import read_json

VERSIONS = {"raw": 1, "jpeg": 2}
"""Of the format, by store. Sets of version 1 that were written before there were two say nothing of a store."""

MOST = 1 << 28
"""Bytes of manifest.json: at 150 a skipped file, more than a million of those."""

LARGEST = 1 << 14
"""Side of prepared images, in pixels."""

TEXTS = {"source": ("description", "fingerprint"), "statistics": ("mean.npy", "colour.json")}


def read(path: Path) -> dict[str, Any]:
    """The manifest in `path`, its version unchecked where this program does not know it.

    Raises ValueError for one that is damaged, whatever it has in place of counts and names; OSError as `open`.
    """
    manifest = read_json(path, MOST)
    if not isinstance(manifest, dict):
        raise ValueError("manifest.json is no object")
    if manifest.get("version") in VERSIONS.values():
        check(manifest)
    return manifest


def check(manifest: dict[str, Any]) -> None:
    """ValueError, naming the field, for a manifest of a known version that `prepare` cannot have written."""
    said: dict[str, Any] = {name: manifest.get(name) for name in ("size", "classes", "splits", *TEXTS)}
    _number("size", said["size"], 1, LARGEST)
    if VERSIONS.get(str(manifest.get("store", "raw"))) != manifest["version"]:
        raise ValueError("its store is not that of its version")
    classes, splits = said["classes"], said["splits"]
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes are no list of names")
    for place, names in TEXTS.items():
        if not isinstance(said[place], dict) or not all(isinstance(said[place].get(name), str) for name in names):
            raise ValueError(f"its {place} is no object with {' and '.join(names)}")
    if not isinstance(splits, dict) or not splits:
        raise ValueError("its splits are no object")
    kinds = manifest.get("passed_over", {})
    for names in (kinds, *kinds.values()) if isinstance(kinds, dict) else (kinds,):
        if not isinstance(names, dict):
            raise ValueError("what it has passed over is no object of objects")
    for number in (number for names in kinds.values() for number in names.values()):
        _number("passed_over", number, 0, 1 << 40)
    for name, facts in splits.items():
        if not name.isidentifier():  # it is a folder's name, too
            raise ValueError("a split has a name that is none")
        if not isinstance(facts, dict):
            raise ValueError(f"split {name} is no object")
        _check_split(name, facts, len(classes))


def _check_split(name: str, facts: dict[str, Any], classes: int) -> None:
    said: dict[str, Any] = {key: facts.get(key) for key in ("images", "per_class", "skipped", "checksums")}
    images, per_class, skipped, chunks = said.values()
    _number(f"{name}.images", images, 0, 1 << 40)
    if not all(isinstance(part, list) for part in (per_class, skipped, chunks)):
        raise ValueError(f"split {name} has values of wrong kinds")
    for items, texts in ((skipped, ("file", "reason")), (chunks, ("sha256",))):
        if not all(isinstance(item, dict) and all(isinstance(item.get(key), str) for key in texts) for item in items):
            raise ValueError(f"split {name} has a skipped file or a chunk without its {' and '.join(texts)}")
    counts = [chunk.get("images") for chunk in chunks]
    for count in (*per_class, *counts):
        _number(f"{name}: a count", count, 0, images)
    if len(per_class) != classes or not sum(per_class) == sum(counts) == images:
        raise ValueError(f"split {name} has counts that contradict each other")


def _number(what: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is no number from {least} to {most}")
