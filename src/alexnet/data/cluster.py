"""`prepare` in shards, by the machines of a Ray cluster, with the bytes of one machine (docs/preparing.md).

A worker makes a shard, some chunks of source items, as a small split in DEST/<split>/shards and renames it when it is
whole. The command's machine takes the shards over in their order: it appends their files, adds their sums and writes a
line of the journal for each. So DEST is at every moment what `prepare` alone would have left there.
"""

import json
import logging
import os
import shutil
import socket
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from alexnet.data import prepare as preparing
from alexnet.data.image import FORM
from alexnet.data.prepare import SHARDS, Report
from alexnet.data.prepared import Prepared
from alexnet.data.sources.source import Item, Source
from alexnet.data.statistics import Sums
from alexnet.data.writer import Writer
from alexnet.errors import InputError, RunFailed
from alexnet.extras import need
from alexnet.files import write_text
from alexnet.reading import read_json

LONGEST = 16
"""Chunks of the largest shard: at 256 pixels 1.6 GB raw, about a minute of one core; what a dead worker loses."""


def package() -> str:
    """The version of this package and of resizing: the same on every machine, or chunks of one set would differ."""
    return f"alexnet {version('alexnet')}, form {FORM}"


@dataclass(frozen=True)
class Crew:
    """The workers. `submit(function, *arguments)` has one of them call it; `share` makes an argument cheap to repeat."""

    submit: Callable[..., Future]
    slots: int  # tasks at a time
    threads: int = 1  # of each
    share: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Job:
    """The task of a worker, beside the source: which split, where to, and by which package."""

    split: str
    folder: Path  # of the shards
    begun: bytes  # contents of begun.json: size, quality, classes
    threads: int
    package: str


@contextmanager
def ray_crew(address: str, threads: int | None = None) -> Iterator[Crew]:
    """The cluster at `address` ("auto": the one this machine is in; "local": one started here, for this run alone).

    A task has `threads` cores (default: 4, or all of the smallest machine's); Ray starts it anew where a worker dies. Raises
    InputError without Ray, where no cluster answers, or for `threads` below 1.
    """
    preparing.check_options(workers=threads)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    need("cluster")
    import ray

    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--cluster {address}: no Ray cluster answers ({reason}): start one with `ray start --head` and, on the other "
            "machines, `ray start --address HOST:6379`; or give --cluster local"
        ) from None
    try:
        cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        cores = [number for number in cores if number]
        if not cores:
            raise InputError(f"--cluster {address}: none of its machines has a core to work with")
        threads = min(threads or 4, *cores)

        def submit(function: Callable, *arguments: Any) -> Future:
            remote = ray.remote(num_cpus=threads, max_retries=3)(function)
            return remote.remote(*arguments).future()  # type: ignore[attr-defined]

        yield Crew(submit, sum(number // threads for number in cores), threads, ray.put)
    finally:
        ray.shutdown()


def prepare_on(address: str, source: Source, dest: Path, workers: int | None = None, **options: Any) -> Prepared:
    """`prepare.prepare` by the Ray cluster at `address`, with `workers` threads a task; raises what `ray_crew` does too."""
    with ray_crew(address, workers) as crew:
        return prepare(source, dest, crew, **options)


def prepare(source: Source, dest: Path, crew: Crew, **options: Any) -> Prepared:
    """`prepare.prepare` by `crew`; takes its options, and raises what it raises.

    Besides, InputError where a worker does not see `dest` or `source` as this machine does, and RunFailed where workers
    keep dying. What whole shards hold is kept, whatever happens.
    """
    return preparing.prepare(source, dest, fill=partial(_fill, crew), **options)


# ---------------------------------------------------------------- on the command's machine


class _Shard(NamedTuple):
    """The folder where some items of a split will lie, and the future of the task that makes them."""

    path: Path
    items: int
    future: Future


def _fill(crew: Crew, source: Source, split: str, writer: Writer, report: Report) -> None:
    """Has the crew make the shards that are missing, and takes all of them over into `writer` in their order."""
    folder = (writer.folder / SHARDS).absolute()  # workers stand in other folders
    folder.mkdir(exist_ok=True)
    for half in folder.glob(".*"):  # by a worker of an earlier run
        shutil.rmtree(half) if half.is_dir() else half.unlink()
    begun = (folder.parent.parent / "begun.json").read_bytes()
    job = Job(split, folder, begun, crew.threads, package())
    shared = crew.share(source)
    counts = _counts(crew, source, shared, job)
    total = sum(counts)
    if total < writer.items:
        raise InputError(f"{source.description} had more images when {writer.folder} was begun: give another DEST")
    chunks = -(-total // preparing.CHUNK)
    length = preparing.CHUNK * max(1, min(LONGEST, chunks // (4 * crew.slots)))
    shared_counts = crew.share(counts)
    waiting: deque[_Shard] = deque()

    def take_over(longest: int) -> None:
        """Takes over the shards at the front until at most `longest` are waiting."""
        while len(waiting) > longest:
            path, _, first = waiting[0]
            while not first.done():
                wait([first], timeout=0.2)
                ready = [shard for shard in waiting if shard.future.done()]
                report(sum(shard.items for shard in ready))
                for shard in ready:
                    _result(shard.future)
            _result(first)
            if not path.is_dir():
                raise InputError(f"{path} was made by a worker, and is not here: {_SEEN}")
            writer.take_over(path)
            shutil.rmtree(path)
            waiting.popleft()

    try:
        for start, stop, whole in _ranges(folder, writer.items, total, length):
            if whole:
                report.earlier += stop - start
                future: Future = Future()
                future.set_result(None)
            else:
                future = crew.submit(make_shard, shared, job, shared_counts, start, stop)
            waiting.append(_Shard(folder / _name(start, stop), stop - start, future))
            take_over(3 * crew.slots)  # so that no worker waits, and little lies on the disk twice
        take_over(0)
    finally:
        for shard in waiting:
            shard.future.cancel()


def _name(start: int, stop: int) -> str:
    return f"{start:010}-{stop:010}"


def _ranges(folder: Path, at: int, total: int, length: int) -> Iterator[tuple[int, int, bool]]:
    """Stretches of all items from `at` on, in order: start, stop, whether a whole shard of them is there."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for start, stop in [*((int(name[:10]), int(name[11:])) for name in names), (total, total)]:
        if start < at:  # taken over already, by a run that was killed before it could remove it
            shutil.rmtree(folder / _name(start, stop))
            continue
        while at < start:
            end = min(start, at + length - at % length)
            yield at, end, False
            at = end
        if at < stop:
            yield at, stop, True
            at = stop


def _counts(crew: Crew, source: Source, shared: Any, job: Job) -> tuple[int, ...]:
    """Items of each part of a split; those of archives are counted by the crew, once."""
    known = job.folder / "parts.json"
    if known.exists():
        return tuple(read_json(known))
    counts = [part.items for part in source.parts(job.split)]
    unknown = [number for number, items in enumerate(counts) if items is None]
    step = max(1, len(unknown) // (8 * crew.slots))
    groups = [unknown[at : at + step] for at in range(0, len(unknown), step)]
    futures = [crew.submit(count_parts, shared, job, group) for group in groups]
    for group, future in zip(groups, futures, strict=True):
        for number, items in zip(group, _result(future), strict=True):
            counts[number] = items
    write_text(known, json.dumps(counts))
    return tuple(items or 0 for items in counts)


def _result(future: Future) -> Any:
    try:
        return future.result()
    except Exception as error:
        cause = getattr(error, "cause", None) or error  # Ray wraps what a task raises
        if isinstance(cause, (InputError, RunFailed, OSError)):
            raise cause from None
        # What a worker says of functions and classes that its package lacks, or has with other arguments.
        words = ("No module named", "failed to import", "Can't get attribute", "positional argument")
        if isinstance(cause, ImportError) or any(word in str(cause) for word in words):
            reason = str(cause).strip().splitlines()[-1]
            raise RunFailed(
                f"a worker lacks a package, or has not {package()} ({reason}): install the same on every machine"
            ) from error
        if type(error).__name__ in ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "BrokenProcessPool"):
            reason = " ".join(str(error).split())[:300]
            raise RunFailed(f"workers keep dying ({reason}); the same command goes on where this one was") from error
        raise


# ---------------------------------------------------------------- on a worker

_SEEN = "SOURCE and DEST must lie on storage that all machines see under the same path"


def _worker() -> str:
    return f"worker {os.getpid()} on {socket.gethostname()}"


def _check_sees(job: Job) -> None:
    """Raises RunFailed where this machine has another package, InputError where it does not see the same DEST."""
    if job.package != package():
        raise RunFailed(
            f"{_worker()} has {package()}, the command's machine has {job.package}: install the same on every machine"
        )
    dest = job.folder.parent.parent
    with suppress(OSError):
        if (dest / "begun.json").read_bytes() == job.begun:
            return
    raise InputError(f"{_worker()} does not see {dest} as the command's machine does: {_SEEN}")


def count_parts(source: Source, job: Job, numbers: list[int]) -> list[int]:
    """Counts the items of each of these parts; raises what `make_shard` raises."""
    _check_sees(job)
    return [sum(1 for _ in source.part(job.split, number)) for number in numbers]


def make_shard(source: Source, job: Job, counts: tuple[int, ...], start: int, stop: int) -> None:
    """Prepares the items from `start` to the one before `stop` into a folder of its own in that of the shards.

    `counts` are the items of each part. Raises InputError where this machine does not see what the others see, RunFailed
    where its package is another.
    """
    _check_sees(job)
    whole = job.folder / _name(start, stop)
    half = job.folder / f".{_name(start, stop)}.{uuid.uuid4().hex}"
    begun = json.loads(job.begun)
    sums = Sums(begun["size"]) if job.split == "train" else None
    try:
        with closing(
            Writer(half, begun["size"], begun.get("quality"), len(source.classes), sums, safe=False)
        ) as writer:
            preparing.write_items(_items(source, job.split, counts, start, stop), writer, job.threads)
        try:
            half.rename(whole)
        except OSError:
            if not whole.is_dir():  # else another attempt at it, given up for dead, was faster
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _items(source: Source, split: str, counts: tuple[int, ...], start: int, stop: int) -> Iterator[Item]:
    """The items from `start` to the one before `stop`; of the parts before, none is opened."""
    for number, end in enumerate(accumulate(counts)):
        first = end - counts[number]
        if end <= start or first >= stop:
            continue
        items = 0
        for items, item in enumerate(source.part(split, number), 1):
            if start < first + items <= stop:
                yield item
            if first + items == stop:
                return
        if items != counts[number]:
            raise InputError(
                f"{_worker()} sees {items:,} images in part {number} of {source.description}, {split}, not "
                f"{counts[number]:,}: {_SEEN}"
            )
