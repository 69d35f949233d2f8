"""Some classes of a source."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import Item, Part, Parted, Source
from alexnet.errors import InputError


@dataclass(frozen=True)
class Chosen(Parted):
    """Those images of `source` whose class is one of `labels`, in its order."""

    source: Source
    labels: tuple[int, ...]  # of `source`, ascending

    @property
    def description(self) -> str:
        return f"{self.source.description}, {len(self.labels)} of its {len(self.source.classes)} classes"

    @property
    def splits(self) -> tuple[str, ...]:
        return self.source.splits

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.source.classes[label] for label in self.labels)

    @property
    def default_size(self) -> int:
        return self.source.default_size

    @property
    def folders(self) -> dict[str, Path]:
        return getattr(self.source, "folders", {})

    @property
    def passed_over(self) -> PassedOver:
        return self.source.passed_over

    @cached_property
    def _new(self) -> dict[int, int]:
        """A label of `source` -> the one here."""
        return {label: new for new, label in enumerate(self.labels)}

    @cached_property
    def _parts(self) -> dict[str, list[int]]:
        """Numbers of the source's parts that may hold one of the classes."""
        return {
            split: [
                n for n, part in enumerate(self.source.parts(split)) if part.label is None or part.label in self._new
            ]
            for split in self.splits
        }

    def parts(self, split: str) -> tuple[Part, ...]:
        parts = self.source.parts(split)
        there = [parts[number] for number in self._parts[split]]
        return tuple(Part(None, None) if p.label is None else Part(self._new[p.label], p.items) for p in there)

    def part(self, split: str, number: int) -> Iterator[Item]:
        for item in self.source.part(split, self._parts[split][number]):
            if item.label in self._new:
                yield Item(item.name, self._new[item.label], item.read)

    def count(self, split: str) -> int | None:
        items = [part.items for part in self.parts(split)]
        return None if None in items else sum(number or 0 for number in items)

    def fingerprint(self) -> str:
        """sha256 over the fingerprint of the source and the classes' names."""
        return hashlib.sha256(repr((self.source.fingerprint(), self.classes)).encode()).hexdigest()


def choose(source: Source, names: Sequence[str]) -> Chosen:
    """Only these classes of `source`, by name or by the first word of it (a WordNet id); in the source's order.

    Raises InputError for a name that no class has, or that several have.
    """
    by_name: dict[str, list[int]] = {}
    for label, name in enumerate(source.classes):
        for key in {name, name.split(" ")[0]}:
            by_name.setdefault(key, []).append(label)
    labels = set()
    for name in names:
        found = [source.classes.index(name)] if name in source.classes else by_name.get(name, [])
        if len(found) > 1:
            alike = ", ".join(source.classes[label] for label in found)
            raise InputError(f"--classes {name}: several classes of {source.description} begin so: {alike}")
        if not found:
            near = difflib.get_close_matches(name, by_name, 3) or list(source.classes[:5])
            raise InputError(
                f"--classes {name}: no class of {source.description} is called that; there are {', '.join(near)} ..."
            )
        labels.update(found)
    if not labels:
        raise InputError("--classes: name at least one class")
    return Chosen(source, tuple(sorted(labels)))
