"""Images of any kind -> a prepared dataset: shorter side to 256, central 256×256, RGB (§2).

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
from typing import Literal, Protocol

import numpy as np

from alexnet.data import jpegs, prepared
from alexnet.data import manifest as manifests
from alexnet.data.image import FORM, Unreadable, to_square
from alexnet.data.sources.source import Item, Source
from alexnet.data.statistics import Sums, products_of
from alexnet.data.writer import PreparedImage, Writer
from alexnet.errors import InputError, RunFailed
from alexnet.files import only_writer, write_bytes
from alexnet.reading import read_json

CHUNK = 512  # source items per commit
SHARDS = "shards"  # a folder in that of a split: what cluster.py's workers have made and nobody has taken over yet


@dataclass(frozen=True)
class Progress:
    """How far `prepare` is in one split. `done` counts source items, `skipped` ones included."""

    split: str
    done: int
    total: int | None  # None where counting would mean reading everything
    skipped: int
    earlier: int  # of `done`: by earlier runs, before this one resumed
    images_per_second: float  # 0.0 where this run did nothing
    seconds_left: float | None


class Fill(Protocol):
    """Brings the items of a split that `writer` has not into it, in their order, and commits them."""

    def __call__(self, source: Source, split: str, writer: "Writer", report: "Report") -> None: ...


class Report(Protocol):
    """Shows where `writer` is, as often as one likes. `ahead` items are done besides, `earlier` of them by earlier runs."""

    def __call__(self, ahead: int = 0, earlier: int = 0) -> None: ...


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
    call per split, with earlier == done). `workers` threads decode (default: one per core); memory holds a few images
    per worker and one sum image, whatever the size of the source. `fill` does the work in their place, elsewhere.

    Raises InputError where an option is out of range, where more than the share `max_bad` of a split's items is
    unreadable (what was done stays, a run with a higher share goes on from it), where `dest` belongs to another source,
    another size or store or something else, and where another run is writing it. Raises RunFailed where the disk is full.
    """
    check_options(size, max_bad, workers, store, quality)
    size = source.default_size if size is None else size
    kept_at = quality if store == "jpeg" else None
    dest = Path(dest)
    begun = {
        "version": prepared.VERSIONS[store],
        "store": store,
        **({"quality": quality} if store == "jpeg" else {}),
        "form": FORM,
        "source": {"description": source.description, "fingerprint": source.fingerprint()},
        "size": size,
        "classes": list(source.classes),
    }
    for folder in getattr(source, "folders", {}).values():
        if dest.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{dest} lies inside {folder}, where it would count as a class: give a DEST elsewhere")
    try:
        dest.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{dest} is a file, or lies below one: give another DEST") from None
    with only_writer(dest, "alexnet prepare"):
        if not _finished(dest, begun):
            try:
                fill = fill or partial(_fill, workers=workers or os.cpu_count() or 1)
                _prepare_all(source, dest, begun, size, kept_at, max_bad, fill, progress or (lambda _: None))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise RunFailed(
                    f"{dest}: the disk is full; make room and run the same command again, it goes on"
                ) from error
        elif progress:
            for split, counts in prepared.open(dest).manifest["splits"].items():
                bad = len(counts["skipped"])
                done = counts["images"] + bad
                progress(Progress(split, done, done, bad, done, 0.0, 0.0))
        for path in [
            dest / "begun.json",
            *dest.glob("*/progress.jsonl"),
            *dest.glob("*/sums-*"),
            *dest.rglob(".*.new"),
        ]:
            path.unlink(missing_ok=True)
        for folder in dest.glob(f"*/{SHARDS}"):
            shutil.rmtree(folder)
    return prepared.open(dest)


def check_options(
    size: int | None = None,
    max_bad: float = 0.0,
    workers: int | None = None,
    store: str = "raw",
    quality: int = 95,
) -> None:
    """InputError, naming the option, for one that is out of range."""
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
    source: Source,
    dest: Path,
    begun: dict,
    size: int,
    quality: int | None,
    max_bad: float,
    fill: Fill,
    progress: Callable[[Progress], None],
) -> None:
    splits = {}
    for split in source.splits:
        splits[split], sums = _prepare_split(source, split, dest / split, size, quality, max_bad, fill, progress)
        if sums is not None:
            mean, colour = io.BytesIO(), json.dumps(sums.colour().to_json(), indent=1).encode()
            np.save(mean, sums.mean_image())
            write_bytes(dest / "mean.npy", mean.getvalue())
            write_bytes(dest / "colour.json", colour)
    checksums = {name: hashlib.sha256((dest / name).read_bytes()).hexdigest() for name in ("mean.npy", "colour.json")}
    others = {"passed_over": source.passed_over.to_json()} if source.passed_over else {}
    manifest = begun | {"splits": splits, "statistics": checksums, **others, "complete": True}
    write_bytes(dest / "manifest.json", json.dumps(manifest, indent=1).encode())


def _finished(dest: Path, begun: dict) -> bool:
    """Whether `dest` holds this source complete; writes begun.json into an empty one; raises for anybody else's."""
    for name in ("manifest.json", "begun.json"):
        if (dest / name).exists():
            try:
                earlier = read_json(dest / name, manifests.MOST)
                pairs = [
                    ("--store", begun["store"], earlier.get("store", "raw")),
                    ("--quality", begun.get("quality"), earlier.get("quality")),
                    ("format version", begun["version"], earlier["version"]),
                    ("--size", begun["size"], earlier["size"]),
                    ("source", _name(begun["source"]), _name(earlier["source"])),
                ]
                if name == "begun.json":
                    pairs.append(("form of resizing", begun["form"], earlier.get("form", 1)))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(f"{dest / name} is no prepared dataset's: give another DEST") from None
            for what, now, then in pairs:
                if now != then:
                    raise InputError(
                        f"{dest} was prepared with {what} {then}, this run has {what} {now}: "
                        "give another DEST, or delete that folder to prepare it anew"
                    )
            return name == "manifest.json"
    if any(not path.name.startswith(".") for path in dest.iterdir()):
        raise InputError(f"{dest} is not empty and no prepared dataset: give another DEST")
    write_bytes(dest / "begun.json", json.dumps(begun).encode())
    return False


def _name(source: dict[str, str]) -> str:
    return f"{source['description']} ({source['fingerprint'][:12]})"


def _prepare_split(
    source: Source,
    split: str,
    folder: Path,
    size: int,
    quality: int | None,
    max_bad: float,
    fill: Fill,
    progress: Callable[[Progress], None],
) -> tuple[dict, Sums | None]:
    """Writes one split, or what is missing of it -> its part of the manifest, and for train its sums."""
    sums = Sums(size) if split == "train" else None
    with closing(Writer(folder, size, quality, len(source.classes), sums)) as writer:
        total, resumed, start = source.count(split), writer.items, time.perf_counter()
        told, known_earlier = -1.0, 0

        def report(ahead: int = 0, earlier: int = 0, last: bool = False) -> None:
            nonlocal told, known_earlier
            now, known_earlier = time.perf_counter(), max(earlier, known_earlier)
            if now - told < 0.1 and not last:
                return
            done, before, told = writer.items + ahead, resumed + known_earlier, now
            rate = (done - before) / max(now - start, 1e-9)
            known = None if total is None else max(total, done)  # a source may have estimated
            left = None if known is None or rate == 0 else (known - done) / rate
            progress(Progress(split, done, known, len(writer.skipped), before, rate, left))

        report()
        fill(source, split, writer, report)
        report(last=True)

    bad = len(writer.skipped)
    if not writer.items:
        raise InputError(f"{source.description}: no images in its split {split}")
    if bad > max_bad * writer.items or bad == writer.items:
        first = "; ".join(f"{skipped['file']}: {skipped['reason']}" for skipped in writer.skipped[:3])
        first += " and others" if bad > 3 else ""
        allowed = (
            "all of them" if bad == writer.items else f"{100 * bad / writer.items:.2g}%, allowed {100 * max_bad:g}%"
        )
        raise InputError(
            f"{bad} of the {writer.items} images of {split} are unreadable ({allowed}): {first}. "
            "Mend or remove them, or allow a higher share with --max-bad"
        )
    return writer.manifest(), writer.sums


def _fill(source: Source, split: str, writer: "Writer", report: Report, workers: int) -> None:
    write_items(islice(source.items(split), writer.items, None), writer, workers, report)


def write_items(items: Iterator[Item], writer: "Writer", workers: int, report: Report | None = None) -> None:
    """Prepares these items, the ones that follow what `writer` has; commits a chunk at a time, and the rest."""
    with closing(
        prepared_images(items, writer.size, writer.quality, workers, with_sums=writer.sums is not None)
    ) as images:
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
    """(item, its image or why there is none) in the items' order, with at most a window of them in memory."""

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
        while window:
            item, future = window.popleft()
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
