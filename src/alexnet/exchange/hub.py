"""A run's network and its model card are written into a repository of the Hugging Face hub, or into a folder of this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet import provenance
from alexnet.data.views import check_views
from alexnet.errors import InputError
from alexnet.exchange import exports, model_card
from alexnet.exchange.exported import Exported, Progress
from alexnet.extras import need
from alexnet.files import named, write_text
from alexnet.run import hub, trained

FILES = (hub.MODEL, model_card.NAME)


@dataclass(frozen=True)
class Pushed:
    """A network file and its card, and where they are."""

    name: str
    """The repository, OWNER/NAME"""
    exported: Exported
    """What was written; of an upload its files are gone from this machine"""
    folder: Path | None
    """The local folder that they were written into; None where they were uploaded"""
    url: str | None = None
    commit: str | None = None
    """The repository's URL and the commit that was made there; None where nothing was uploaded"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        place = {"repository": self.name, "url": self.url, "commit": self.commit}
        folder, files = self.folder and str(self.folder), list(FILES)
        return self.exported.to_dict() | place | {"folder": folder, "file": hub.MODEL, "files": files}


def push(
    run: Path | str,
    name: str,
    *,
    int8: bool = False,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    data: Path | None = None,
    views: int = 1,
    folder: Path | str | None = None,
    progress: Progress = lambda file, done, total: None,
) -> Pushed:
    """Write a run's network as one file, and its model card, into the repository OWNER/NAME of the Hugging Face hub.

    >>> alexnet.push("runs/photos", "someone/photos", folder="card")      # to look at first; uploads nothing
    >>> alexnet.push("runs/photos", "someone/photos", license="mit", views=10)

    run: what `load` takes. int8: weights in 8 bits in place of 16. private: the repository is for its owner alone; InputError if
    it is there and public. revision: the branch, made if it is not there. license: an id of the hub's list, for the card.
    data, views: the errors before and after are measured on the images of this dataset (by default the run's, if it is there)
    that validate the run; else the card says that they were not. folder: write both files into this empty folder instead.

    Both files come in one commit, in place of those that are there; the network file is read again and compared first
    (`exports.export`). InputError, too, without the packages of alexnet[hub], for a name that is none, and for what the hub
    refuses.
    """
    need("hub", "huggingface_hub")
    check_views(views)
    repository, at = hub.parse(name)
    if at:
        raise InputError(f"{name}: the branch to write is --revision {at}; leave out @{at}")
    shown = f"{repository}@{revision}" if revision else repository
    hub.parse(shown)
    _check(repository, upload=folder is None)
    network = trained.load(run)
    dataset = exports.dataset_for(network, data)
    with _place(folder) as place:
        file = place / hub.MODEL
        exported = exports.export_network(network, "alexnet", file, dataset, int8, views, progress)
        write_text(place / model_card.NAME, model_card.card(shown, network, exported, dataset, views, license))
        if folder is not None:
            return Pushed(repository, exported, place)
        return Pushed(repository, exported, None, *_upload(repository, place, private, revision, message))


@contextmanager
def _place(folder: Path | str | None) -> Iterator[Path]:
    """The folder to write into, empty: the one that is named, else one that is gone afterwards."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="alexnet-") as name:
            yield Path(name)
        return
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"--folder {place}: there is something already; name another, or remove it")
    with named(place):
        place.mkdir(parents=True, exist_ok=True)
    yield place


def _check(repository: str, upload: bool) -> None:
    """Raise InputError for a name that no repository has, or where nobody is logged in, before minutes go into measuring."""
    from huggingface_hub import get_token
    from huggingface_hub.utils import validate_repo_id

    with hub.refusals(f"hf:{repository}", repository):
        validate_repo_id(repository)
    if upload and get_token() is None:
        raise InputError(f"you are not logged in to the Hugging Face hub: {hub.LOGIN}; --folder DIR uploads nothing")


def _upload(name: str, place: Path, private: bool, revision: str | None, message: str | None) -> tuple[str, str]:
    """Upload the files in one commit; returns the repository's URL and the commit."""
    from huggingface_hub import CommitOperationAdd, create_branch, create_commit, create_repo, model_info

    with hub.refusals(f"hf:{name}", name):
        url = create_repo(name, private=private or None, exist_ok=True)
        if private and not model_info(name).private:
            raise InputError(f"--private: {name} is there and public; make it private on its page, or leave it out")
        if revision:
            create_branch(name, branch=revision, exist_ok=True)
        # Not upload_folder, which may make several commits of a folder.
        commit: Any = create_commit(
            name,
            [CommitOperationAdd(file, place / file) for file in FILES],
            commit_message=message or f"Network and model card, by alexnet {provenance.version()}",
            revision=revision,
        )
    return str(url), commit.oid
