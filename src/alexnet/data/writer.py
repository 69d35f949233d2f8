"""Writes the files of one split chunk by chunk, with a journal of the chunks that are safe on the disk.

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

from alexnet.data import jpegs, prepared, stored
from alexnet.data.sources.source import Item
from alexnet.data.statistics import Sums
from alexnet.errors import InputError, RunFailed
from alexnet.files import sync, write_bytes

LABELS, NAMES, JOURNAL = "labels.bin", "files.txt", "progress.jsonl"


@dataclass(frozen=True)
class PreparedImage:
    """An image as it is stored; for the training split also its pixels and their products, for the statistics."""

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
        """Raises InputError where files of the earlier run are not as long as its journal says."""
        self.folder, self.size, self.quality, self.sums, self.safe = folder, size, quality, sums, safe
        self.pixels_file = stored.PIXELS if quality is None else jpegs.PIXELS
        self.items = 0  # of the source, skipped ones included
        self.per_class = [0] * classes
        self.skipped: list[dict[str, str]] = []
        self.checksums: list[dict[str, int | str]] = []  # of the chunks
        self._end = 0  # of the pixels' file, in bytes
        folder.mkdir(exist_ok=True)
        lengths = self._take_up_journal()
        self._files = {name: (folder / name).open("ab") for name in lengths}
        self._start_line()

    def _take_up_journal(self) -> dict[str, int]:
        """Restores the state of the journal and cuts the files back to it -> the files and their lengths."""
        lost = f"{self.folder} has lost what an earlier run wrote: delete {self.folder.parent} and run this again"
        journal = self.folder / JOURNAL
        # What follows the last line break is half a line.
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        names_bytes = 0
        try:
            for line in map(json.loads, lines):
                for label, images in line["per_class"].items():
                    self.per_class[int(label)] += images
                names_bytes += line["names_bytes"]
                self._end += line["image_bytes"]
                self.items += line["items"]
                self.skipped += line["skipped"]
                self.checksums += line["checksums"]
            if self.sums is not None and lines:
                self.sums = Sums.load(self._sums_path(len(self.checksums)), self.size)
        except (OSError, ValueError, LookupError, TypeError):  # such as a journal of another version
            raise InputError(lost) from None
        images = sum(self.per_class)
        lengths = {self.pixels_file: self._end, LABELS: 4 * images, NAMES: names_bytes}
        lengths |= {} if self.quality is None else {jpegs.OFFSETS: 8 * images}
        lengths[JOURNAL] = sum(len(line) + 1 for line in lines)
        for name, length in lengths.items():
            with (self.folder / name).open("ab") as file:
                if file.tell() < length:
                    raise InputError(lost)
                file.truncate(length)
        return lengths

    def _start_chunk(self) -> None:
        self._digest = hashlib.sha256()
        self._chunk_labels: list[int] = []
        self._chunk_names: list[bytes] = []
        self._chunk_ends: list[int] = []
        self._chunk_first = self.items

    def _start_line(self) -> None:
        """Begins the journal's next line."""
        self._line_first, self._line_start, self._line_skipped = self.items, self._end, len(self.skipped)
        self._line_chunks, self._line_names = len(self.checksums), 0
        self._line_classes: Counter[int] = Counter()
        self._start_chunk()

    def _sums_path(self, chunks: int) -> Path:
        return self.folder / f"sums-{chunks:09}.npy"

    def add(self, item: Item, image: PreparedImage | str) -> None:
        """Appends an image, or counts an item as skipped for the reason given."""
        self.items += 1
        if isinstance(image, str):
            self.skipped.append({"file": item.name, "reason": image})
            return
        self._write(self.pixels_file, image.stored)
        self._end += len(image.stored)
        self._chunk_ends.append(self._end)
        self._chunk_labels.append(item.label)
        self._chunk_names.append(prepared.encode_name(item.name) + b"\n")
        if self.sums is not None and image.pixels is not None:
            self.sums.add(image.pixels, image.products)

    def commit(self, last: bool = False) -> None:
        """Ends a chunk, and makes what was added safe."""
        if self.items > self._chunk_first:
            labels, ends = np.array(self._chunk_labels, "<i4"), np.array(self._chunk_ends, "<i8")
            self._end_chunk(ends.tobytes(), labels.tobytes(), b"".join(self._chunk_names))
        if self.items > self._line_first and (self.safe or last):
            self._vouch()

    def _write(self, name: str, content: bytes | memoryview) -> None:
        self._files[name].write(content)
        self._digest.update(content)

    def _end_chunk(self, ends: bytes, labels: bytes, names: bytes) -> None:
        """Writes the rest of a chunk whose images are written, and its checksum."""
        if self.quality is not None:
            self._write(jpegs.OFFSETS, ends)
        self._write(LABELS, labels)
        self._write(NAMES, names)
        self._line_names += len(names)
        self._line_classes.update(np.frombuffer(labels, "<i4").tolist())
        self.checksums.append({"images": len(labels) // 4, "sha256": self._digest.hexdigest()})
        self._start_chunk()

    def take_over(self, folder: Path) -> None:
        """Appends what another writer has made, in `folder`, of the items that follow; one line of the journal.

        Raises RunFailed where the storage does not give back what was written, and removes it.
        """
        sums = None if self.sums is None else Sums(self.size)
        with (
            closing(Writer(folder, self.size, self.quality, len(self.per_class), sums)) as other,
            (folder / self.pixels_file).open("rb") as images,
            (folder / LABELS).open("rb") as labels,
            (folder / NAMES).open("rb") as names,
        ):
            image_ends = np.arange(1, sum(other.per_class) + 1, dtype="<i8") * self.size**2 * 3
            if self.quality is not None:
                image_ends = np.fromfile(folder / jpegs.OFFSETS, "<i8")
            done = 0
            for chunk in other.checksums:
                number = int(chunk["images"])
                ends = image_ends[done : done + number]
                length = int(ends[-1]) - images.tell() if number else 0
                while length > 0 and (block := images.read(min(length, 1 << 22))):
                    self._write(self.pixels_file, block)
                    length -= len(block)
                chunk_labels, chunk_names = labels.read(number * 4), b"".join(islice(names, number))
                check = self._digest.copy()
                check.update((b"" if self.quality is None else ends.tobytes()) + chunk_labels + chunk_names)
                if check.hexdigest() != chunk["sha256"]:
                    shutil.rmtree(folder)
                    raise RunFailed(f"{folder} did not hold what was written, and is gone: run the same command again")
                self._end_chunk((ends + self._line_start).tobytes(), chunk_labels, chunk_names)
                done += number
            self.items += other.items
            self.skipped += other.skipped
            self._end += other._end
            if self.sums is not None and other.sums is not None:
                self.sums.take_over(other.sums)
        self._vouch()

    def _vouch(self) -> None:
        """Brings files, then sums, then the journal's line onto the disk: only the line makes the others count."""
        for name, file in self._files.items():
            if self.safe and name != JOURNAL:
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
        self._files[JOURNAL].write(json.dumps(line).encode() + b"\n")
        sync(self._files[JOURNAL])
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
        for file in self._files.values():
            file.close()
