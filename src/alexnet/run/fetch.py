"""A network file from a URL: downloaded once, kept in a cache, and used only if its SHA-256 is the one that was named."""

import hashlib
import os
import re
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from alexnet.errors import InputError
from alexnet.files import named, sync
from alexnet.reading import sha256_of

MOST = 1 << 31
"""Bytes that a network file may have; the paper's network takes 122 million of them in float16."""

TIMEOUT = 30
"""Seconds without an answer after which a server is given up."""

_PIECE = 1 << 20


def cache() -> Path:
    """The folder of downloaded network files: ~/.cache/alexnet, or alexnet in XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "alexnet"


def fetch(url: str) -> Path:
    """The network file at `url`, which ends in #sha256= and 64 hexadecimal digits; from the cache if it is there, and whole.

    Raises InputError for a URL without the digits, where nothing can be downloaded, and for a file that has another SHA-256.
    """
    where, _, fragment = url.partition("#")
    digest = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment.lower())
    if not digest:
        raise InputError(
            f"{url}: say which file it has to be by its SHA-256, as {where}#sha256=0123...; alexnet export prints it, and"
            " sha256sum of the file"
        )
    kept = cache() / f"{digest[1]}.safetensors"
    if not kept.is_file() or sha256_of(kept) != digest[1]:
        _download(where, digest[1], kept)
    return kept


def _download(url: str, digest: str, kept: Path) -> None:
    """Write what is at `url` beside `kept`, and give it its name if its SHA-256 is `digest`."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_name(f".{kept.name}.{os.getpid()}.new")
    hashed, size = hashlib.sha256(), 0
    try:
        with named(kept), beside.open("wb") as file:
            for piece in _pieces(url):
                size += len(piece)
                if size > MOST:
                    raise InputError(f"{url}: more than the {MOST:,} bytes that a network file may have")
                hashed.update(piece)
                file.write(piece)
            sync(file)
        if hashed.hexdigest() != digest:
            raise InputError(
                f"{url}: {size:,} bytes with the SHA-256 {hashed.hexdigest()}, not {digest}: it was cut off or is another file;"
                " try again, or ask whoever gave you the address"
            )
        beside.replace(kept)
    finally:
        beside.unlink(missing_ok=True)


def _pieces(url: str) -> Iterator[bytes]:
    """What is at `url`, piece by piece; InputError for whatever keeps from reading it."""
    try:
        with urlopen(url, timeout=TIMEOUT) as answer:
            while piece := answer.read(_PIECE):
                yield piece
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a URL that is none
        reason = getattr(error, "reason", None) or error
        text = " ".join(str(getattr(reason, "strerror", None) or reason or type(error).__name__).split())
        raise InputError(
            f"{url}: cannot be downloaded ({text[:200]}); download it by other means and name the file, or try again"
        ) from None
