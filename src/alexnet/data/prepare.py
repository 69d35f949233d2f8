"""Images of any kind become a prepared dataset: shorter side to 256, central 256×256, RGB (§2).

Work is committed in chunks of `CHUNK` source items: pixels, labels and names are flushed to disk, then one line of
`progress.jsonl` says so. A killed run is cut back to its last line and goes on from there; as chunks are made of source
items and statistics of integers, the result has the same bytes as that of a run never stopped, or of one on many machines
(cluster.py).
"""

import errno
import hashlib
import io
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.data import jpegs, prepared
from alexnet.data import manifest as manifests
from alexnet.data.image import FORM, Unreadable, to_square
from alexnet.data.sources.source import Item, Source
from alexnet.data.statistics import Sums, products_of
from alexnet.data.writer import JOURNAL, PreparedImage, Writer
from alexnet.errors import InputError, RunFailed
from alexnet.files import only_writer, write_bytes

CHUNK = 512  # source items per commit
SHARDS = "shards"  # a folder in that of a split: what cluster.py's workers have made and nobody has taken over yet


@dataclass(frozen=True)
class Progress:
    """The progress of `prepare` in one split. `done` counts source items, `skipped` ones included."""

    split: str
    done: int
    total: int | None  # None where counting would mean reading everything
    skipped: int
    earlier: int  # of `done`: by earlier runs, before this one resumed
    images_per_second: float  # 0.0 where this run did nothing
    seconds_left: float | None


class Report:
    """Reports the progress of `writer`, at most ten times a second, however often it is called."""

    def __init__(self, split: str, total: int | None, writer: Writer, progress: Callable[[Progress], None]) -> None:
        self._split, self._total, self._writer, self._progress = split, total, writer, progress
        self._start, self._shown = time.perf_counter(), -1.0
        self.earlier = writer.items  # done by earlier runs

    def __call__(self, ahead: int = 0, last: bool = False) -> None:
        """`ahead` items are done besides those that are written."""
        now = time.perf_counter()
        if now - self._shown < 0.1 and not last:
            return
        self._shown, done = now, self._writer.items + ahead
        rate = (done - self.earlier) / max(now - self._start, 1e-9)
        total = None if self._total is None else max(self._total, done)  # a source may have estimated
        left = None if total is None or rate == 0 else (total - done) / rate
        self._progress(Progress(self._split, done, total, len(self._writer.skipped), self.earlier, rate, left))


Fill = Callable[[Source, str, Writer, Report], None]
"""Brings the items of a split that the writer has not into it, in their order, and commits them."""


def prepare(
    source: Source,
    dest: Path,
    size: int | None = None,
    max_bad: float = 0.01,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    store: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    fill: Fill | None = None,
) -> prepared.Prepared:
    """Writes `source` as a prepared dataset of size×size images (default: the source's own, 256) into `dest`.

    `store` "raw" keeps the pixels; "jpeg" keeps JPEGs of that `quality` (jpegs.py), and the statistics are of the pixels
    that they are decoded to, since training sees those.

    Resumes what an earlier run left; does nothing where `dest` is this source prepared already (`progress` then gets one
    call per split, with earlier == done). `workers` threads decode (default: one per core), or `fill` does it elsewhere;
    memory holds a few images per worker and one sum image, whatever the size of the source.

    Raises InputError where an option is out of range, where more than the share `max_bad` of a split's items is
    unreadable (what was done stays, a run with a higher share goes on from it), where `dest` belongs to another source,
    another size or store or something else, and where another run is writing it. Raises RunFailed where the disk is full.
    """
    check_options(size, max_bad, workers, store, quality)
    dest, progress = Path(dest), progress or (lambda _: None)
    fill = fill or partial(_by_threads, workers=workers or os.cpu_count() or 1)
    begun = {
        "version": prepared.VERSIONS[store],
        "store": store,
        **({"quality": quality} if store == "jpeg" else {}),
        "form": FORM,
        "source": {"description": source.description, "fingerprint": source.fingerprint()},
        "size": source.default_size if size is None else size,
        "classes": list(source.classes),
    }
    _make_folder(dest, source)
    with only_writer(dest, "alexnet prepare"):
        finished = manifests.finished(dest, begun)
        if not finished:
            try:
                _prepare_all(source, dest, begun, max_bad, fill, progress)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                again = "make room and run the same command again, it goes on"
                raise RunFailed(f"{dest}: the disk is full; {again}") from error
        for pattern in ("begun.json", f"*/{JOURNAL}", "*/sums-*", "**/.*.new"):
            for path in list(dest.glob(pattern)):
                path.unlink(missing_ok=True)
        for folder in dest.glob(f"*/{SHARDS}"):
            shutil.rmtree(folder)
    opened = prepared.open(dest)
    if finished:
        for split, counts in opened.manifest["splits"].items():
            bad = len(counts["skipped"])
            done = counts["images"] + bad
            progress(Progress(split, done, done, bad, done, 0.0, 0.0))
    return opened


def _make_folder(dest: Path, source: Source) -> None:
    for folder in source.folders.values():
        if dest.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{dest} lies inside {folder}, where it would count as a class: give a DEST elsewhere")
    try:
        dest.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{dest} is a file, or lies below one: give another DEST") from None


def check_options(
    size: int | None = None, max_bad: float = 0.0, workers: int | None = None, store: str = "raw", quality: int = 95
) -> None:
    """Raises InputError, naming the option, for one that is out of range."""
    if size is not None and size < 1:
        raise InputError(f"--size {size}: must be at least 1")
    if not 0 <= max_bad <= 1:
        raise InputError(f"--max-bad {max_bad}: must be a share from 0 to 1")
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    if store not in prepared.VERSIONS:
        raise InputError(f"--store {store}: must be raw or jpeg")
    if not 1 <= quality <= 100:
        raise InputError(f"--quality {quality}: must be from 1 to 100")


def _prepare_all(
    source: Source, dest: Path, begun: dict[str, Any], max_bad: float, fill: Fill, progress: Callable[[Progress], None]
) -> None:
    """Writes the splits, or what is missing of them, the statistics of train, and last the manifest."""
    splits, size = {}, begun["size"]
    for split in source.splits:
        sums = Sums(size) if split == "train" else None
        with closing(Writer(dest / split, size, begun.get("quality"), len(source.classes), sums)) as writer:
            report = Report(split, source.count(split), writer, progress)
            report()
            fill(source, split, writer, report)
            report(last=True)
        _check_bad(source, split, writer, max_bad)
        splits[split] = writer.manifest()
        if writer.sums is not None:
            mean, colour = io.BytesIO(), json.dumps(writer.sums.colour().to_json(), indent=1).encode()
            np.save(mean, writer.sums.mean_image())
            write_bytes(dest / "mean.npy", mean.getvalue())
            write_bytes(dest / "colour.json", colour)
    checksums = {name: hashlib.sha256((dest / name).read_bytes()).hexdigest() for name in ("mean.npy", "colour.json")}
    passed = {"passed_over": source.passed_over.to_json()} if source.passed_over else {}
    manifest = begun | {"splits": splits, "statistics": checksums, **passed, "complete": True}
    write_bytes(dest / "manifest.json", json.dumps(manifest, indent=1).encode())


def _check_bad(source: Source, split: str, writer: Writer, max_bad: float) -> None:
    """Raises InputError where a split has no images, or more unreadable ones than the share `max_bad`."""
    bad, items = len(writer.skipped), writer.items
    if not items:
        raise InputError(f"{source.description}: no images in its split {split}")
    if bad > max_bad * items or bad == items:
        first = "; ".join(f"{skipped['file']}: {skipped['reason']}" for skipped in writer.skipped[:3])
        first += " and others" if bad > 3 else ""
        share = "all of them" if bad == items else f"{100 * bad / items:.2g}%, allowed {100 * max_bad:g}%"
        raise InputError(
            f"{bad} of the {items} images of {split} are unreadable ({share}): {first}. "
            "Mend or remove them, or allow a higher share with --max-bad"
        )


def _by_threads(source: Source, split: str, writer: Writer, report: Report, workers: int) -> None:
    write_items(islice(source.items(split), writer.items, None), writer, workers, report)


def write_items(items: Iterator[Item], writer: Writer, workers: int, report: Callable[[], None] | None = None) -> None:
    """Prepares the items that follow those of `writer` and adds them to it, a chunk at a time."""
    with closing(prepared_images(items, writer.size, writer.quality, workers, writer.sums is not None)) as images:
        for item, image in images:
            writer.add(item, image)
            if writer.items % CHUNK == 0:
                writer.commit()
            if report:
                report()
    writer.commit(last=True)


def prepared_images(
    items: Iterator[Item], size: int, quality: int | None, workers: int, with_sums: bool
) -> Generator[tuple[Item, PreparedImage | str]]:
    """Prepares items by threads: (item, its image or the reason for none), in order, with few images in memory."""

    def work(item: Item) -> PreparedImage | str:
        try:
            content = item.read()
        except Unreadable as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        try:
            pixels = to_square(content, size)  # an OSError of this is the machine's, such as a library without memory
        except Unreadable as error:
            return str(error)
        stored = pixels.data.cast("B") if quality is None else memoryview(jpegs.encode(pixels, quality))
        if not with_sums:
            return PreparedImage(stored)
        if quality is not None:
            pixels = np.empty_like(pixels)
            jpegs.decode(stored, pixels)
        return PreparedImage(stored, pixels, products_of(pixels))

    # Threads, as simplejpeg and Pillow let go of the interpreter lock while they work.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    window: deque[tuple[Item, Future]] = deque()
    try:
        for item in items:
            window.append((item, pool.submit(work, item)))
            if len(window) >= 16 * workers:
                item, future = window.popleft()
                yield item, future.result()
        for item, future in window:
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
