"""The files of one split as they are written, chunk by chunk, each safe before the next; and the journal that says so.

A killed run is cut back to the journal's last line, and goes on from there.
"""

import hashlib
import json
import shutil
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from alexnet.data import jpegs, prepared
from alexnet.data.sources.source import Item
from alexnet.data.statistics import Sums
from alexnet.errors import InputError, RunFailed
from alexnet.files import sync, write_bytes


@dataclass(frozen=True)
class PreparedImage:
    """An image as it is stored, and what the statistics of the training split need of it."""

    stored: memoryview
    pixels: np.ndarray | None = None
    products: np.ndarray | None = None


class Writer:
    """The files of one split, its statistics and its journal; starts where the journal of an earlier run ends.

    `safe`: every chunk is brought onto the disk by itself, and counts from then on. Otherwise the journal has one line,
    at the end, for what is worth nothing before: a shard, whose checksums are looked at when it is taken over.
    """

    def __init__(
        self, folder: Path, size: int, quality: int | None, classes: int, sums: Sums | None, safe: bool = True
    ) -> None:
        self.folder, self.size, self.quality, self.sums, self.safe = folder, size, quality, sums, safe
        self.coded = quality is not None
        self.items = 0  # of the source, skipped ones included
        self.per_class = [0] * classes
        self.skipped: list[dict[str, str]] = []
        self.checksums: list[dict[str, int | str]] = []  # of the chunks
        self._end = 0  # of the pixels' file, in bytes
        folder.mkdir(exist_ok=True)
        self._cut_back()
        self._images, self._labels, self._names, self._journal = (
            (folder / name).open("ab") for name in (self._pixels, "labels.bin", "files.txt", "progress.jsonl")
        )
        self._offsets = (folder / jpegs.OFFSETS).open("ab") if self.coded else None
        self._start_line()

    @property
    def _pixels(self) -> str:
        return jpegs.PIXELS if self.coded else "images.bin"

    def _cut_back(self) -> None:
        """Takes up what the journal says is whole, and cuts off what was written after."""
        journal = self.folder / "progress.jsonl"
        # What follows the last line break is half a line.
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        names_bytes = 0
        for line in lines:
            chunk = json.loads(line)
            names_bytes += chunk["names_bytes"]
            for label, images in chunk["per_class"].items():
                self.per_class[int(label)] += images
            # Earlier versions wrote a line for each chunk, with one checksum, and the first knew no JPEGs.
            checksums = chunk["checksums"] if "checksums" in chunk else [chunk["checksum"]]
            raw = sum(int(one["images"]) for one in checksums) * self.size**2 * 3
            self._end += chunk.get("image_bytes", raw)
            self.items += chunk["items"]
            self.skipped += chunk["skipped"]
            self.checksums += checksums
        lost = f"{self.folder} has lost what an earlier run wrote: delete {self.folder.parent} and run this again"
        for name, length in (
            (self._pixels, self._end),
            *([(jpegs.OFFSETS, sum(self.per_class) * 8)] if self.coded else []),
            ("labels.bin", sum(self.per_class) * 4),
            ("files.txt", names_bytes),
            ("progress.jsonl", sum(len(line) + 1 for line in lines)),
        ):
            with (self.folder / name).open("ab") as file:
                if file.tell() < length:
                    raise InputError(lost)
                file.truncate(length)
        if self.sums is not None and lines:
            try:
                self.sums = Sums.load(self._sums_path(len(self.checksums)), self.size)
            except (OSError, ValueError):
                raise InputError(lost) from None

    def _start_chunk(self) -> None:
        self._digest = hashlib.sha256()
        self._chunk_labels: list[int] = []
        self._chunk_names: list[bytes] = []
        self._chunk_ends: list[int] = []
        self._chunk_first = self.items

    def _start_line(self) -> None:
        """Whatever comes from here on is in the journal's next line."""
        self._line_first, self._line_start, self._line_skipped = self.items, self._end, len(self.skipped)
        self._line_chunks, self._line_names = len(self.checksums), 0
        self._line_classes: Counter[int] = Counter()
        self._start_chunk()

    def _sums_path(self, chunks: int) -> Path:
        return self.folder / f"sums-{chunks:09}.npy"

    def add(self, item: Item, image: PreparedImage | str) -> None:
        """An image, or why there is none."""
        self.items += 1
        if isinstance(image, str):
            self.skipped.append({"file": item.name, "reason": image})
            return
        self._images.write(image.stored)
        self._digest.update(image.stored)
        self._end += len(image.stored)
        self._chunk_ends.append(self._end)
        self._chunk_labels.append(item.label)
        self._chunk_names.append(prepared.encode_name(item.name) + b"\n")
        if self.sums is not None and image.pixels is not None:
            self.sums.add(image.pixels, image.products)

    def commit(self, last: bool = False) -> None:
        """Ends a chunk, and makes what was added safe."""
        if self.items > self._chunk_first:
            labels, names = np.array(self._chunk_labels, "<i4").tobytes(), b"".join(self._chunk_names)
            self._write(np.array(self._chunk_ends, "<i8").tobytes(), labels, names)
            self._line_classes.update(self._chunk_labels)
            self._line_names += len(names)
            self._add_checksum(len(self._chunk_labels))
        if self.items > self._line_first and (self.safe or last):
            self._vouch()

    def _add_checksum(self, images: int) -> None:
        self.checksums.append({"images": images, "sha256": self._digest.hexdigest()})
        self._start_chunk()

    def take_over(self, folder: Path) -> None:
        """Appends what another writer has made, in `folder`, of the items that follow; one line of the journal.

        Raises RunFailed where the storage does not give back what was written, and removes it.
        """
        sums = None if self.sums is None else Sums(self.size)
        with closing(Writer(folder, self.size, self.quality, len(self.per_class), sums)) as other:
            with (
                (folder / self._pixels).open("rb") as images,
                (folder / "labels.bin").open("rb") as labels,
                (folder / "files.txt").open("rb") as names,
            ):
                ends = np.fromfile(folder / jpegs.OFFSETS, "<i8") if self.coded else None
                done = 0
                for chunk in other.checksums:
                    number = int(chunk["images"])
                    there = ends[done : done + number] if ends is not None else np.zeros(0, "<i8")
                    length = number * self.size**2 * 3 if ends is None else int(there[-1:].sum()) - images.tell()
                    while length > 0 and (block := images.read(min(length, 1 << 22))):
                        self._images.write(block)
                        self._digest.update(block)
                        length -= len(block)
                    rest = labels.read(number * 4), b"".join(islice(names, number))
                    check = self._digest.copy()
                    check.update(there.tobytes() + b"".join(rest))
                    if check.hexdigest() != chunk["sha256"]:
                        shutil.rmtree(folder)
                        raise RunFailed(
                            f"{folder} did not hold what was written, and is gone: run the same command again"
                        )
                    self._write((there + self._line_start).tobytes(), *rest)
                    self._line_names += len(rest[1])
                    self._add_checksum(number)
                    done += number
            self.items += other.items
            self.skipped += other.skipped
            self._end += other._end
            self._line_classes.update({label: images for label, images in enumerate(other.per_class) if images})
            if self.sums is not None and other.sums is not None:
                self.sums.take_over(other.sums)
        self._vouch()

    def _write(self, ends: bytes, labels: bytes, names: bytes) -> None:
        """The rest of a chunk whose images are written."""
        if self._offsets:
            self._offsets.write(ends)
            self._digest.update(ends)
        self._labels.write(labels)
        self._names.write(names)
        self._digest.update(labels + names)

    def _vouch(self) -> None:
        """Files, then sums, then the journal's line that makes them count."""
        for file in (self._images, self._labels, self._names, self._offsets):
            if file and self.safe:
                sync(file)
        for label, images in self._line_classes.items():
            self.per_class[label] += images
        if self.sums is not None:
            # Named by the chunk, so that a run killed just here does not count its images twice.
            write_bytes(self._sums_path(len(self.checksums)), self.sums.to_bytes())
        line = {
            "items": self.items - self._line_first,
            "image_bytes": self._end - self._line_start,
            "names_bytes": self._line_names,
            "per_class": self._line_classes,
            "skipped": self.skipped[self._line_skipped :],
            "checksums": self.checksums[self._line_chunks :],
        }
        self._journal.write(json.dumps(line).encode() + b"\n")
        sync(self._journal)
        self._sums_path(self._line_chunks).unlink(missing_ok=True)
        self._start_line()

    def manifest(self) -> dict:
        return {
            "images": sum(self.per_class),
            "per_class": self.per_class,
            "skipped": self.skipped,
            "checksums": self.checksums,
        }

    def close(self) -> None:
        for file in (self._images, self._labels, self._names, self._journal, self._offsets):
            if file:
                file.close()
