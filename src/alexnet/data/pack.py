"""A prepared dataset, or the images that it was prepared from -> pieces that travel (packed.py)."""

import io
import json
import math
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from alexnet.data import jpegs
from alexnet.data.image import FORM
from alexnet.data.packed import FORMAT, LAST, PART, Part, Whole, as_json, contents_of, made_from, room_on, sha256
from alexnet.data.prepared import Prepared
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.source import Item, Source
from alexnet.errors import InputError
from alexnet.files import only_writer, sync


def pack(
    dataset: Prepared,
    dest: Path,
    megabytes: float = 55.0,
    source: Source | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Writes pieces of at most `megabytes` (of 10^6 bytes, all included) into the folder `dest` -> their paths.

    With `source`, the source that `dataset` was prepared from, its images travel. `workers` threads compress (default: one
    per core); `progress` is told how many bytes are done. The same set and options give the same bytes.

    Raises InputError where the dataset is damaged, where `source` is another or the dataset was not prepared as this
    program prepares, where `megabytes` is too little, and where `dest` holds pieces of that name already; RunFailed where
    the disk is full.
    """
    if source is None:
        if problems := dataset.check():
            raise InputError(problems[0])
        streams = _set_streams(dataset)
    else:
        streams = _source_streams(dataset, _same(source, dataset))
    dest, name = Path(dest), dataset.path.resolve().name
    about = made_from(dataset.manifest)
    # What is no part: the first lines of piece.json with its header, and the tar's end, rounded up to 10,240 bytes.
    if not 0 < megabytes < math.inf:
        raise InputError(f"--megabytes {megabytes:g}: must be more than 0")
    room = int(megabytes * 1e6) - len(as_json([about, name])) - 4096 - 10_240
    try:
        dest.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{dest} is a file, or lies below one: give another DEST") from None
    with only_writer(dest, "alexnet pack"), room_on(dest):
        own = re.compile(re.escape(name) + r"-\d+-of-\d+\.tar")
        if earlier := sorted(path for path in dest.iterdir() if own.fullmatch(path.name)):
            raise InputError(f"{earlier[0]} is there already: delete the pieces of that name, or give another DEST")
        for half in dest.glob(".packing-*"):  # of a run that was killed
            shutil.rmtree(half)
        with TemporaryDirectory(prefix=".packing-", dir=dest) as drafts:
            written = _write_parts(_parts(streams, workers or os.cpu_count() or 1), Path(drafts), room, progress)
            if written is None:
                raise InputError(f"--megabytes {megabytes:g}: too little for a piece; 2 are enough")
            files = {part.file: part.offset + part.bytes for _, parts in written for part in parts}
            layout = sha256(as_json([[asdict(part) for part in parts] for _, parts in written]))
            travels = "set" if source is None else "source"
            whole = Whole(name, len(written), about, contents_of(dataset.manifest), travels, files, layout)
            paths = []
            for number, (draft, parts) in enumerate(written, 1):
                said = {"format": FORMAT, "number": number, "whole": asdict(whole), "parts": [asdict(p) for p in parts]}
                with tarfile.open(draft, "a:") as tar:
                    _add(tar, LAST, as_json({"sha256": sha256(as_json(said)), "piece": said}))
                with draft.open("r+b") as file:
                    sync(file)
                paths.append(dest / f"{name}-{whole.called(number)}-of-{whole.called(whole.pieces)}.tar")
            for (draft, _), path in zip(written, paths, strict=True):
                draft.replace(path)
    return paths


def _write_parts(
    stream: Iterator[tuple[Part, bytes]], folder: Path, room: int, progress: Callable[[int], None] | None
) -> list[tuple[Path, list[Part]]] | None:
    """Tars of parts in `folder`, each of at most `room` bytes, as far as `_space` knows; None if no part has room."""
    written: list[tuple[Path, list[Part]]] = []
    done, waiting = 0, next(stream, None)
    while waiting:
        parts: list[Part] = []
        written.append((folder / f"{len(written)}.tar", parts))
        used = 0
        with tarfile.open(written[-1][0], "w:") as tar:
            while waiting and (used := used + _space(*waiting)) <= room:
                _add(tar, f"{len(parts):05}", waiting[1])
                parts.append(waiting[0])
                done += waiting[0].bytes
                if progress:
                    progress(done)
                waiting = next(stream, None)
        if not parts:
            return None
    return written


def _space(part: Part, stored: bytes) -> int:
    """Bytes of a piece that a part takes: header, contents in blocks of 512, what piece.json says of it."""
    return 512 + -(-len(stored) // 512) * 512 + len(as_json(asdict(part))) + 2


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _parts(streams: Iterable[tuple[str, Iterable[bytes]]], workers: int) -> Iterator[tuple[Part, bytes]]:
    """(part, the bytes that are stored of it), in order."""

    def work(block: tuple[str, int, bytes]) -> tuple[Part, bytes]:
        file, offset, content = block
        smaller = zlib.compress(content)
        compressed = len(smaller) < len(content)
        return Part(file, offset, len(content), compressed, sha256(content)), smaller if compressed else content

    blocks = chain.from_iterable(_blocks(file, contents) for file, contents in streams)
    with ThreadPoolExecutor(workers, thread_name_prefix="pack") as pool:
        while some := list(islice(blocks, 4 * workers)):
            yield from pool.map(work, some)


def _blocks(file: str, contents: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    """(file, offset, PART bytes, at the end fewer) of what comes in lengths of any kind."""
    held, offset = bytearray(), 0
    for content in contents:
        held += content
        while len(held) >= PART:
            yield file, offset, bytes(held[:PART])
            del held[:PART]
            offset += PART
    if held:
        yield file, offset, bytes(held)


def _set_streams(dataset: Prepared) -> Iterator[tuple[str, Iterable[bytes]]]:
    names = ["manifest.json", *dataset.manifest["statistics"]]
    pixels = [jpegs.PIXELS, jpegs.OFFSETS] if dataset.store == "jpeg" else ["images.bin"]
    names += [f"{split}/{file}" for split in dataset.splits for file in ("labels.bin", "files.txt", *pixels)]
    for name in names:
        with (dataset.path / name).open("rb") as file:
            yield name, iter(partial(file.read, PART), b"")


def _same(source: Source, dataset: Prepared) -> Source:
    """`source`, or those of its classes that `dataset` has. Raises InputError where preparing it gives something else."""
    form = dataset.manifest.get("form", 1)
    if form != FORM:
        raise InputError(
            f"{dataset.path} was prepared by another version, whose resizing gave other pixels (form {form}, now {FORM}):"
            " prepare it again, or pack it without --source"
        )
    if source.classes != dataset.classes and set(dataset.classes) <= set(source.classes):
        source = choose(source, dataset.classes)
    if source.fingerprint() != dataset.manifest["source"]["fingerprint"]:
        made = dataset.manifest["source"]["description"]
        raise InputError(f"--source: {source.description} is not what {dataset.path} was prepared from, {made}")
    return source


def _source_streams(dataset: Prepared, source: Source) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "manifest.json", [(dataset.path / "manifest.json").read_bytes()]
    for split in source.splits:
        index: list[bytes] = []
        yield f"{split}/items.bin", _images(source.items(split), index)
        yield f"{split}/items.jsonl", index


def _images(items: Iterator[Item], index: list[bytes]) -> Iterator[bytes]:
    """The items' bytes, an array's as .npy; their lines [bytes, label, name, whether it is an array] go into `index`."""
    for item in items:
        try:
            image = item.read()
        except OSError as error:
            raise InputError(
                f"{item.name} cannot be read ({error.strerror or error}): mend it, or pack without --source"
            ) from None
        is_array = isinstance(image, np.ndarray)
        if isinstance(image, np.ndarray):
            file = io.BytesIO()
            np.save(file, image, allow_pickle=False)
            image = file.getvalue()
        index.append(json.dumps([len(image), item.label, item.name, is_array]).encode() + b"\n")
        yield image
