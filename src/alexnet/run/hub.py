"""A network of the Hugging Face hub: one file of a repository, by huggingface_hub, downloaded once into the hub's own cache."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alexnet.errors import InputError, out_of_memory
from alexnet.extras import need
from alexnet.files import no_room
from alexnet.run.fetch import MOST
from alexnet.words import short

PREFIX = "hf:"
"""What the name of a repository begins with where a run folder or a file could be named."""

MODEL = "model.safetensors"
"""The network file's name in a repository: of this one the hub shows the parameters, and libraries look for it."""

LOGIN = "hf auth login, or a token in HF_TOKEN"


def parse(given: str) -> tuple[str, str | None]:
    """The repository and the revision (None: its default branch) that OWNER/NAME or OWNER/NAME@REVISION names; with hf: or not."""
    match = re.fullmatch(r"(?:hf:)?([\w.-]+/[\w.-]+)(?:@([\w./+-]+))?", given, re.ASCII)
    if not match:
        raise InputError(f"{given}: no repository of the Hugging Face hub; write OWNER/NAME, or OWNER/NAME@REVISION")
    return match[1], match[2]


def download(given: str) -> Path:
    """The network file of the repository that `given` names, as `parse` takes it; from the hub's cache where it is there.

    REVISION is a branch, a tag or a commit; only a commit says which bytes they are. Tokens, HF_HUB_OFFLINE and the place of
    the cache are huggingface_hub's matter. Raises InputError where there is no such file, or it cannot be had.
    """
    name, revision = parse(given)
    need("hub", "huggingface_hub")
    from huggingface_hub import hf_hub_download

    with refusals(given, name):
        about: Any = hf_hub_download(name, MODEL, revision=revision, dry_run=True)
        if (about.file_size or 0) > MOST:
            raise InputError(f"{given}: its {MODEL} has {about.file_size:,} bytes, a network file at most {MOST:,}")
        return Path(hf_hub_download(name, MODEL, revision=revision))


def file_in(folder: Path) -> Path:
    """The network file in a local folder with the files of a repository; InputError where there is none."""
    if not (folder / MODEL).is_file():
        raise InputError(f"{folder}: no {MODEL} in it, which alexnet push writes; a run folder is for alexnet.load")
    return folder / MODEL


@contextmanager
def refusals(where: str, name: str) -> Iterator[None]:
    """Turn what huggingface_hub raises of the repository `name` into an InputError of one line that begins with `where`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: the hub's, those of what it speaks HTTP by, the system's
        if no_room(error) or out_of_memory(error):
            raise
        raise InputError(f"{where}: {_reason(error, name)}") from None


def _reason(error: Exception, name: str) -> str:
    """What is wrong, and what mends it."""
    from huggingface_hub import errors

    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, errors.HfHubHTTPError):
        error = cause  # the hub did answer, and nothing was in the cache to do without
    text = short(" ".join(str(error).split()) or type(error).__name__, 200)
    status = getattr(getattr(error, "response", None), "status_code", None)
    match error:
        case errors.GatedRepoError():
            return f"its owner asks for consent; give it on the repository's page, and log in ({LOGIN})"
        case errors.RepositoryNotFoundError():
            return f"no such repository, or a private one; mend the name, or log in as one who may see it ({LOGIN})"
        case errors.RevisionNotFoundError():
            return f"{name} has no such branch, tag or commit; mend what is behind the @"
        case errors.LocalEntryNotFoundError() if not isinstance(cause, errors.OfflineModeIsEnabled):
            return "the hub cannot be reached, and its cache has no copy; see to the connection, or name a file"
        case errors.LocalEntryNotFoundError():
            return "HF_HUB_OFFLINE is set, and the hub's cache has no copy; unset it, or name a file"
        case errors.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set; unset it"
        case errors.EntryNotFoundError():
            return f"no {MODEL} in it, the network file that alexnet push writes"
    if status in (401, 403):
        return f"the hub refuses it ({status}); log in with a token that has the right to it ({LOGIN})"
    return f"the hub could not do it ({text}); mend that, or see to the connection and try again"
