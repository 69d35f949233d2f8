"""The cost of a preparation before anything is written, measured on a sample of the source's images."""

import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.data import cluster, jpegs, prepared
from alexnet.data.prepare import CHUNK, check_options, prepared_images
from alexnet.data.sources.archives import Archives
from alexnet.data.sources.chosen import Chosen
from alexnet.data.sources.source import Item, Source
from alexnet.data.statistics import Sums
from alexnet.errors import InputError
from alexnet.words import duration, gigabytes

SAMPLE = 256
"""Images that are prepared to measure with."""

DISKS = {"a SATA SSD, 500 MB/s": 500e6, "an NVMe SSD, 3 GB/s": 3e9}
"""Bytes a second that an epoch is read with at best."""


@dataclass(frozen=True)
class Plan:
    """The cost of a preparation. Times are seconds, rates images a second, sampled figures means over the sample."""

    source: str
    dest: str
    size: int
    store: str
    images: dict[str, int]  # of each split
    counted: bool  # False: estimated from the sizes of archives, or what the user asks for
    classes: int
    sampled: int
    unreadable: int  # of the sampled
    threads: int
    images_per_second: float  # reading, decoding, resizing, encoding, checksums and statistics; no writing
    source_bytes: float  # of an image as it comes
    stored_bytes: dict[str, float]  # of an image in either store, its label and name with it
    bytes: dict[str, int]  # of the whole result in either store
    free: int  # on the disk of DEST
    shards: int  # at most, besides the result, while it is made by `machines`
    listing: float  # going through the source for names and sizes
    seconds: float  # on this machine
    machines: int
    seconds_on_machines: float
    take_over: float  # by one machine: at least; checksums of what the others made
    epoch_bytes: int
    decode_per_second: float | None  # store jpeg: images decoded on this machine while training

    @property
    def total(self) -> int:
        return sum(self.images.values())

    @property
    def room(self) -> bool:
        """Whether the result fits on the disk of DEST."""
        return self.bytes[self.store] + self.shards <= self.free

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "total": self.total, "room": self.room}

    def lines(self) -> list[str]:
        """The plan as text, with its assumptions."""
        store, other = self.store, "raw" if self.store == "jpeg" else "jpeg"
        counts = ", ".join(f"{number:,} {split}" for split, number in self.images.items())
        disks = [f"{duration(self.epoch_bytes / speed)} from {disk}" for disk, speed in DISKS.items()]
        lines = [
            f"{self.source} → {self.dest}: {'' if self.counted else 'about '}{self.total:,} images ({counts}) "
            f"of {self.classes:,} classes",
            f"measured on {self.sampled} of its images: {self.images_per_second:,.0f} images/s with {self.threads} threads, "
            f"{self.source_bytes / 1e3:,.1f} KB each as they come; {self.unreadable} unreadable",
            f"takes {gigabytes(self.bytes[store])} (--store {store}); with --store {other}, "
            f"{gigabytes(self.bytes[other])}",
            f"room: {gigabytes(self.free)} free"
            + (f", {gigabytes(self.shards)} of it for shards on their way" if self.shards else "")
            + ("" if self.room else f": NOT ENOUGH for --store {store}"),
            f"time: {duration(self.listing + self.seconds)} on this machine, {duration(self.listing)} of it listing the source",
            *([self._on_machines()] if self.machines > 1 else []),
            f"an epoch reads {gigabytes(self.epoch_bytes)}: at least {', '.join(disks)}",
        ]
        if self.decode_per_second:
            train = self.images.get("train", self.total)
            lines.append(
                f"an epoch decodes: at least {duration(train / self.decode_per_second)} on all cores of this machine "
                f"({self.decode_per_second:,.0f} images/s)"
            )
        lines.append(
            "assumes: the other images are like the sample; storage keeps up with the decoding; the machine does nothing else"
            + ("; listing takes as long per image as it did here" if not self.counted else "")
        )
        return lines

    def _on_machines(self) -> str:
        rate = self.machines * self.images_per_second / 1e6
        reads, writes = rate * self.source_bytes, rate * self.stored_bytes[self.store]
        return (
            f"time: {duration(self.listing + self.seconds_on_machines)} on {self.machines} machines like this one; one takes "
            f"over all shards, which takes it at least {duration(self.take_over)}; at full speed their storage "
            f"reads {reads:,.0f} MB/s of images, writes {writes:,.0f} MB/s of shards, and reads and writes these once more"
        )


def plan(
    source: Source,
    dest: Path,
    size: int | None = None,
    store: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    workers: int | None = None,
    machines: int = 1,
    images: int | None = None,
    classes: int | None = None,
) -> Plan:
    """The cost of `prepare` with these options; writes nothing.

    `machines`: with `--cluster` on that many like this one. `images`, `classes`: of a training split of that size, made of
    images like these. Raises InputError where an option is out of range or the source has no readable image.
    """
    check_options(size, workers=workers, store=store, quality=quality)
    for name, value in (("--machines", machines), ("--as-images", images), ("--as-classes", classes)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value}: must be at least 1")
    size, cores, dest = size or source.default_size, os.cpu_count() or 1, Path(dest)
    begun = time.perf_counter()
    source.fingerprint()
    counts = {split: source.count(split) for split in source.splits}
    listing = time.perf_counter() - begun
    sample = _measure(source, size, store, quality, workers or cores)
    estimated = {
        split: _estimate(source, split, sample.source_bytes) if n is None else n for split, n in counts.items()
    }
    total = {"train": images} if images else estimated
    number, kinds = sum(total.values()), classes or len(source.classes)
    rest = 24 * kinds + 105 * -(-number // CHUNK) + 12 * size**2 + 2000  # names, checksums, mean image
    whole = {name: round(number * length) + rest for name, length in sample.stored_bytes.items()}
    shards = cluster.LONGEST * CHUNK * sample.stored_bytes[store] * 4 * (machines * max(1, cores // 4))
    seconds, take_over = number / sample.rate, whole[store] / sample.checksum_rate
    return Plan(
        source=source.description,
        dest=str(dest),
        size=size,
        store=store,
        images=total,
        counted=None not in counts.values() and images is None,
        classes=kinds,
        sampled=sample.images,
        unreadable=sample.unreadable,
        threads=workers or cores,
        images_per_second=sample.rate,
        source_bytes=sample.source_bytes,
        stored_bytes=sample.stored_bytes,
        bytes=whole,
        free=_free(dest),
        shards=round(min(shards, whole[store])) if machines > 1 else 0,
        listing=listing * number / max(1, sum(estimated.values())) if images else listing,
        seconds=seconds,
        machines=machines,
        seconds_on_machines=max(seconds / machines, take_over if machines > 1 else 0.0),
        take_over=take_over,
        epoch_bytes=round(total.get("train", number) * sample.stored_bytes[store]),
        decode_per_second=_decoding(sample.coded, size, cores) if store == "jpeg" else None,
    )


@dataclass(frozen=True)
class _Sample:
    """The measurements of preparing a few hundred images in memory."""

    images: int
    unreadable: int
    rate: float  # images a second
    source_bytes: float  # of an image as it comes
    stored_bytes: dict[str, float]  # of an image in either store, its label and name with it
    coded: list[bytes]  # the readable ones as JPEGs
    checksum_rate: float  # bytes a second of what a machine does at least with the shards of others


def _measure(source: Source, size: int, store: str, quality: int, threads: int) -> _Sample:
    sizes: list[int] = []  # of the images as they come, noted as they are read
    items = [_noting(item, sizes) for item in _spread(source, SAMPLE)]
    list(prepared_images(iter(items[:8]), size, None, threads, with_sums=True))  # compiles the loops
    sizes.clear()
    sums, digest, images = Sums(size), hashlib.sha256(), []
    begun = time.perf_counter()
    for _, image in prepared_images(iter(items), size, quality if store == "jpeg" else None, threads, with_sums=True):
        if not isinstance(image, str) and image.pixels is not None:
            digest.update(image.stored)
            sums.add(image.pixels, image.products)
            images.append((bytes(image.stored), image.pixels))
    rate = len(items) / (time.perf_counter() - begun)
    if not images:
        raise InputError(f"{source.description}: none of {len(items)} images looked at can be read")
    names = sum(len(prepared.encode_name(item.name)) + 1 for item in items) / len(items)
    coded = [content if store == "jpeg" else jpegs.encode(pixels, quality) for content, pixels in images]
    readable = len(images) / len(items)
    content = b"".join(stored for stored, _ in images)[: 1 << 26]
    begun = time.perf_counter()
    hashlib.sha256(content)
    return _Sample(
        images=len(items),
        unreadable=len(items) - len(images),
        rate=rate,
        source_bytes=sum(sizes) / len(sizes),
        stored_bytes={
            "raw": readable * (size * size * 3 + 4 + names),
            "jpeg": readable * (sum(map(len, coded)) / len(coded) + 8 + 4 + names),
        },
        coded=coded,
        checksum_rate=len(content) / (time.perf_counter() - begun),
    )


def _spread(source: Source, number: int) -> list[Item]:
    """About `number` items from parts all over the source."""
    parts = [
        (split, n, part) for split in source.splits for n, part in enumerate(source.parts(split)) if part.items != 0
    ]
    step = -(-len(parts) // number)
    chosen = parts[step // 2 :: step]
    of_part = -(-number // max(1, len(chosen)))
    items: list[Item] = []
    for split, n, part in chosen:
        # Over a part as well, where that does not mean going through all of a large one.
        apart = max(1, min((part.items or 0) // of_part, 16))
        items += islice(source.part(split, n), 0, of_part * apart, apart)
    if not items:
        raise InputError(f"{source.description}: no images in it")
    return items


def _noting(item: Item, sizes: list[int]) -> Item:
    """The item, whose `read` appends the bytes of what it gives to `sizes`."""

    def read() -> bytes | np.ndarray:
        image = item.read()
        sizes.append(len(image) if isinstance(image, bytes) else image.nbytes)
        return image

    return replace(item, read=read)


def _estimate(source: Source, split: str, image_bytes: float) -> int:
    """The number of images of the sample's mean size that the archives of an uncounted split would hold."""
    inner, labels = source, tuple(range(len(source.classes)))
    if isinstance(source, Chosen):
        inner, labels = source.source, source.labels
    if not isinstance(inner, Archives):
        return sum(1 for _ in source.items(split))
    length = sum(inner.tars[label].bytes for label in labels)
    if split == "val" and inner.val:
        length = inner.val.bytes * len(labels) // len(inner.classes)
    # A tar fills up to whole blocks of 512 bytes, and has one more before each file.
    return round(length / (image_bytes + 512 + 256))


def _free(dest: Path) -> int:
    """Bytes on the disk of `dest`, those that an earlier run has taken in it among them."""
    disk = dest.absolute()
    while not disk.exists():
        disk = disk.parent
    earlier = sum(path.stat().st_size for path in dest.rglob("*") if path.is_file())
    return shutil.disk_usage(disk).free + earlier


def _decoding(coded: list[bytes], size: int, threads: int) -> float:
    """The JPEGs that so many threads decode in a second."""
    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        list(pool.map(lambda jpeg: jpegs.decode(jpeg, np.empty((size, size, 3), np.uint8)), coded))
        return len(coded) / (time.perf_counter() - begun)
