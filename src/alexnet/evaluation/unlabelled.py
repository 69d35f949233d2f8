"""Images without labels, as the test images of ILSVRC are: a folder, a glob, or a flat .tar, read where they lie."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from alexnet.data.image import Unreadable, to_square
from alexnet.data.sources.passed import is_image_name
from alexnet.data.sources.source import read_file
from alexnet.data.sources.tar import members, read_member
from alexnet.errors import InputError
from alexnet.evaluation import submission
from alexnet.evaluation.kept import Judged
from alexnet.run import predict

Read = Callable[[], bytes]


class Files:
    """Image files that are decoded and brought to size x size (§2) when they are indexed, on all threads."""

    dtype = np.dtype(np.uint8)

    def __init__(self, names: list[str], readers: list[Read], size: int) -> None:
        self.names, self.readers, self.size = names, readers, size
        self.bad: dict[str, str] = {}
        """Files that could not be read so far, and why; their pixels are grey."""
        self._pool = ThreadPoolExecutor()

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)"""
        return (len(self.names), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        """uint8 [B, S, S, 3] of an array of numbers [B]."""
        return np.stack(list(self._pool.map(self._one, np.asarray(indices).tolist())))

    def _one(self, number: int) -> np.ndarray:
        try:
            return to_square(self.readers[number](), self.size)
        except (Unreadable, OSError) as error:
            self.bad[self.names[number]] = str(error)
            return np.full((self.size, self.size, 3), 128, np.uint8)


def unlabelled(where: str, size: int) -> Judged:
    """The images that `where` names, in the order of their names, to be brought to size x size.

    A folder (with the folders in it), a glob, one image, or a .tar of images, which is not unpacked. Raises InputError if
    there is none. A file that turns out to be no image is judged as a grey one, and told in `Files.bad`.
    """
    path = Path(where)
    if path.is_file() and path.suffix == ".tar":
        found = _of_tar(path)
    else:
        found = [(name, _facts(name), partial(read_file, name)) for name in predict.find([where]) if _is(name)]
    if not found:
        raise InputError(f"--images {where}: no images there; name a folder, a glob or a .tar of images")
    found = [found[k] for k in submission.order_of([name for name, _, _ in found])]
    names = [name for name, _, _ in found]
    fingerprint = hashlib.sha256(repr((size, [(os.path.basename(name), facts) for name, facts, _ in found])).encode())
    images = Files(names, [read for _, _, read in found], size)
    return Judged(path.stem or "images", images, np.arange(len(names)), None, names, fingerprint.hexdigest())


def bad(all_judged: Iterable[Judged]) -> dict[str, str]:
    """Files that could not be read, by name, and why."""
    all_files = [judged.images for judged in all_judged if isinstance(judged.images, Files)]
    return dict(sorted((name, reason) for files in all_files for name, reason in files.bad.items()))


def _is(name: str) -> bool:
    return os.path.isfile(name) and is_image_name(name)


def _facts(name: str | Path) -> tuple[object, ...]:
    """What tells a file from others, and from itself before a change, without reading it."""
    stat = os.stat(name)
    return os.path.abspath(name), stat.st_size, stat.st_mtime_ns


def _of_tar(path: Path) -> list[tuple[str, tuple[object, ...], Read]]:
    images: list[tuple[str, tuple[object, ...], Read]] = []
    whole = _facts(path)
    for member in members(path):
        if member.problem:
            raise InputError(f"--images {path}: {member.name}: {member.problem}: download it again")
        if is_image_name(member.name):
            images.append((member.name, (*whole, member.offset), partial(read_member, str(path), member)))
    return images
