"""Files and folders of a source that are no images of it, told by name or by the first bytes, and counted (§2)."""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from alexnet.words import counted

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Endings of files that are images."""

FOLDERS = frozenset(
    {"__macosx", "@eadir", ".ipynb_checkpoints", "$recycle.bin", "system volume information", "lost+found"}
    | {"#recycle", "@recycle"}
)
"""Folders that systems and programs make among the files of their users, in small letters; some hold copies of images."""

NO_IMAGES = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".md", ".rst", ".html"}
    | {".py", ".ipynb", ".sh", ".m", ".db", ".sqlite", ".npy", ".npz", ".mat", ".pkl", ".pt", ".pth", ".h5", ".parquet"}
    | {".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".svg"}
    | {".mp4", ".mov", ".avi", ".mp3", ".wav", ".lnk", ".url", ".xmp", ".aae", ".log"}
    # Copies of images that are there, or parts of images that are not: never images of their own.
    | {".bak", ".tmp", ".temp", ".old", ".orig", ".part", ".partial", ".crdownload", ".download", ".swp"}
)
"""Endings of files that are not opened to see whether they are images."""

NOT_READ = frozenset({".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".psd"})
"""Endings of photographs of kinds that cannot be read."""

KINDS = 30
"""Kinds that are counted by name; a folder may have as many endings as files."""

_NAMED = re.compile(r"\.\w{1,10}")
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftypavi[fs]"
    rb"|\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51|P[1-6][ \t\r\n]+[#0-9]|BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
_HEIF = re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)


@dataclass
class PassedOver:
    """Counts of whatever in a source is no image of it: "file", "folder", "split" ... -> kind or name -> number."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, thing: str, kind: str) -> None:
        """Counts one more "file", "folder" ... of that kind."""
        kinds = self.counts.setdefault(thing, {})
        kind = kind if kind in kinds or len(kinds) < KINDS else "others"
        kinds[kind] = kinds.get(kind, 0) + 1

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        """Such as "3 files (2 .heic, 1 .txt), 1 folder (@eaDir)"."""
        texts = []
        for thing, kinds in self.to_json().items():
            total = sum(kinds.values())
            names = [
                name if number == total or (number == 1 and thing != "file") else f"{number:,} {name}"
                for name, number in Counter(kinds).most_common()
            ]
            more = f" and {len(names) - 9} other kinds" if len(names) > 10 else ""
            texts.append(f"{counted(total, thing)} ({', '.join(names[: 9 if more else 10])}{more})")
        return ", ".join(texts)

    def to_json(self) -> dict[str, dict[str, int]]:
        """The counts, sorted: the file system's order plays no part."""
        return {thing: dict(sorted(kinds.items())) for thing, kinds in sorted(self.counts.items())}

    @property
    def fix(self) -> str:
        """The advice for photographs of kinds that cannot be read; "" where there are none."""
        photographs = sorted(NOT_READ & set(self.counts.get("file", {})))
        return f"{', '.join(photographs)} cannot be read: convert them to JPEG or PNG" if photographs else ""


def is_image_name(name: str) -> bool:
    """Whether the ending of a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_image(entry: "os.DirEntry[str]", passed: PassedOver | None = None) -> bool:
    """Whether a file is an image, by its name's ending or else by its first bytes. Counts it in `passed` if not."""
    # A dangling link is listed, so that it shows up among the skipped; a pipe is not: reading one may never end.
    if is_image_name(entry.name) and entry.is_symlink():
        return True
    kind = kind_of(entry.name, partial(_first_bytes, entry.path)) if is_a(entry, "file") else "no file"
    if kind and passed is not None:
        passed.add("file", kind)
    return kind is None


def kind_of(name: str, first: Callable[[], bytes]) -> str | None:
    """The kind that a file which is no image is counted as; None for an image. `first` reads its first bytes."""
    if is_image_name(name):
        return None
    ending = os.path.splitext(name)[1].lower()
    kind = ending if _NAMED.fullmatch(ending) else "others" if ending else "without ending"
    if ending in NO_IMAGES or ending in NOT_READ or name.endswith(("~", "_original")):
        return kind
    start = first()
    if _MAGIC.match(start):
        return None
    return ".heic" if _HEIF.match(start) else kind


def is_a(entry: "os.DirEntry[str]", kind: Literal["file", "folder"]) -> bool:
    """Whether an entry is a file or a folder, or a link to one; what cannot be looked at is neither."""
    try:
        return entry.is_file() if kind == "file" else entry.is_dir()
    except OSError:  # a link to itself
        return False


def _first_bytes(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(32)
    except OSError:  # nobody said that it is an image
        return b""
