"""A source of some of the classes of another."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import Item, Part, Source
from alexnet.errors import InputError


@dataclass(frozen=True)
class Chosen(Source):
    """The images of `source` whose class is one of `labels`, in its order."""

    source: Source
    labels: tuple[int, ...]  # of `source`, ascending

    @cached_property
    def _new(self) -> dict[int, int]:
        """A label of `source` -> the one that it gets."""
        return {label: new for new, label in enumerate(self.labels)}

    @cached_property
    def _inner(self) -> dict[str, list[tuple[int, Part]]]:
        """The source's parts that may hold one of the classes, with their numbers, of each split."""
        labels = {None, *self.labels}
        return {
            split: [(number, part) for number, part in enumerate(self.source.parts(split)) if part.label in labels]
            for split in self.splits
        }

    def parts(self, split: str) -> tuple[Part, ...]:
        inner = [part for _, part in self._inner[split]]
        return tuple(Part() if part.label is None else replace(part, label=self._new[part.label]) for part in inner)

    def part(self, split: str, number: int) -> Iterator[Item]:
        for item in self.source.part(split, self._inner[split][number][0]):
            if item.label in self._new:
                yield replace(item, label=self._new[item.label])

    @property
    def passed_over(self) -> PassedOver:
        return self.source.passed_over

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
        meant = [source.classes.index(name)] if name in source.classes else by_name.get(name, [])
        if len(meant) > 1:
            alike = ", ".join(source.classes[label] for label in meant)
            raise InputError(f"--classes {name}: several classes of {source.description} begin so: {alike}")
        if not meant:
            near = difflib.get_close_matches(name, by_name, 3) or list(source.classes[:5])
            raise InputError(
                f"--classes {name}: no class of {source.description} is called that; there are {', '.join(near)} ..."
            )
        labels.update(meant)
    if not labels:
        raise InputError("--classes: name at least one class")
    ordered = tuple(sorted(labels))
    return Chosen(
        f"{source.description}, {len(labels)} of its {len(source.classes)} classes",
        tuple(source.classes[label] for label in ordered),
        source.splits,
        source,
        ordered,
        default_size=source.default_size,
        folders=source.folders,
    )
