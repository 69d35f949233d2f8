"""Where the network lies that a user names: a run folder, a network file, its URL, "starter", or a repository of the hub."""

import os
import re
from pathlib import Path, PurePath

from alexnet import tensors
from alexnet.errors import InputError
from alexnet.run import hub
from alexnet.run.fetch import fetch

STARTER = "starter"
"""The name of the network that comes with the package. As a Path it is a folder or a file of that name, where there is one."""

STARTER_FILE = Path(__file__).parent.parent / "starter" / "network.safetensors"

FORMAT_KEY = "alexnet_format"
"""What the metadata of a network file have, and those of other safetensors have not."""


def starter() -> Path:
    """The network file that comes with the package; InputError if this installation has none."""
    if not STARTER_FILE.is_file():
        raise InputError(
            f"starter: {STARTER_FILE} is not there, so this installation of alexnet has no starter network; install it again, or"
            " name a run folder"
        )
    return STARTER_FILE


def locate(given: Path | str) -> Path:
    """The run folder or the network file that `given` means; whether it is there, and one, its reader says.

    A URL (http, https) is downloaded into a cache and has to end in #sha256=HEX (`fetch.fetch`); hf:OWNER/NAME[@REVISION] is
    the network file of a repository of the Hugging Face hub, downloaded into the hub's cache (`hub.download`).
    """
    if _is_starter(given):
        return starter()
    if _is_on_hub(given):
        return hub.download(_text(given))
    url = _url(given)
    return fetch(url) if url else Path(given)


def is_network_file(given: Path | str) -> bool:
    """Whether `given` means a network file that alexnet wrote: the starter, one at a URL or on the hub, or one by what it holds."""
    by_name = _is_starter(given) or _is_on_hub(given) or _url(given) is not None
    return by_name or FORMAT_KEY in tensors.metadata(Path(given))


def is_file(given: Path | str) -> bool:
    """Whether `given` means a network in one file, and no run folder: a network file, even one that is damaged or missing."""
    return is_network_file(given) or (PurePath(given).suffix == ".safetensors" and not os.path.isdir(given))


def public_name(given: Path | str) -> str:
    """What `given` may be called where others read it: starter, the name on the hub, the URL; of a path its last name."""
    if _is_starter(given):
        return STARTER
    return _text(given) if _is_on_hub(given) else _url(given) or Path(given).resolve().name


def only_folder(run: Path | str) -> None:
    """Raise InputError, with the command that makes a run folder, for a network in one file: nothing is written into that."""
    if is_file(run):
        raise InputError(
            f"{run}: a network in one file, where this needs a run folder; make one of it: alexnet import {run} --out RUN"
        )


def _is_starter(given: Path | str) -> bool:
    # Path("./starter") is Path("starter"), so a path to something that is there is that.
    return str(given) == STARTER and not (isinstance(given, PurePath) and os.path.lexists(given))


def _is_on_hub(given: Path | str) -> bool:
    return _text(given).startswith(hub.PREFIX)


def _url(given: Path | str) -> str | None:
    # A Path that was made of a URL has one stroke where there were two.
    match = re.match(r"(https?):/+(?=[^/])", _text(given))
    return None if not match else f"{match[1]}://{match.string[match.end() :]}"


def _text(given: Path | str) -> str:
    return given.as_posix() if isinstance(given, PurePath) else given
