"""A stand-in for the Hugging Face hub: huggingface_hub's functions, as far as the package uses them, on a local folder."""

import hashlib
import inspect
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

FUNCTIONS = ("hf_hub_download", "create_repo", "create_branch", "create_commit", "get_token", "model_info")


def answer(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """An error as the hub's answers are made into."""
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)  # what an error looks at
    return kind(f"{status} Client Error.\n\nsomething of several lines", response=response)


class Hub:
    """Repositories: FOLDER/OWNER/NAME/COMMIT/FILE, and who may do what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.branches: dict[str, dict[str, str]] = {}
        """Repository -> branch -> commit"""
        self.private: set[str] = set()
        self.messages: list[str] = []
        self.token: str | None = "hf_token"
        self.refusal: Exception | None = None
        """What every function raises"""

    def hf_hub_download(
        self, repo_id: str, filename: str, *, revision: str | None = None, dry_run: bool = False
    ) -> Any:
        folder = self.folder / repo_id / self._commit(repo_id, revision)
        if not (folder / filename).is_file():
            raise answer(errors.RemoteEntryNotFoundError, 404)
        if dry_run:
            return SimpleNamespace(file_size=(folder / filename).stat().st_size)
        return str(folder / filename)

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> str:
        self._refuse()
        if repo_id in self.branches:
            assert exist_ok
        else:
            self.branches[repo_id] = {"main": self._keep(repo_id, {})}
            self.private |= {repo_id} if private else set()
        return f"https://hub.invalid/{repo_id}"

    def create_branch(self, repo_id: str, *, branch: str, exist_ok: bool = False) -> None:
        assert exist_ok or branch not in self.branches[repo_id]
        self.branches[repo_id].setdefault(branch, self.branches[repo_id]["main"])

    def create_commit(
        self, repo_id: str, operations: Iterable[Any], *, commit_message: str, revision: str | None = None
    ) -> Any:
        self._commit(repo_id, revision)
        files = {each.path_in_repo: Path(each.path_or_fileobj).read_bytes() for each in operations}
        commit = self.branches[repo_id][revision or "main"] = self._keep(repo_id, files)
        self.messages.append(commit_message)
        return SimpleNamespace(oid=commit)

    def get_token(self) -> str | None:
        return self.token

    def model_info(self, repo_id: str) -> Any:
        return SimpleNamespace(private=repo_id in self.private)

    def put(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Make a repository with these files, or a commit in it; returns the commit."""
        commit = self._keep(name, files)
        self.branches.setdefault(name, {})[branch] = commit
        return commit

    def files(self, name: str, revision: str | None = None) -> Path:
        """The folder of a repository's files."""
        return self.folder / name / self._commit(name, revision)

    def _keep(self, name: str, files: dict[str, bytes]) -> str:
        content = repr((name, len(self.messages), sorted(files.items()))).encode()
        commit = hashlib.sha1(content).hexdigest()
        shutil.rmtree(self.folder / name / commit, ignore_errors=True)
        (self.folder / name / commit).mkdir(parents=True)
        for file, content in files.items():
            (self.folder / name / commit / file).write_bytes(content)
        return commit

    def _commit(self, name: str, revision: str | None) -> str:
        self._refuse()
        if name not in self.branches:
            raise answer(errors.RepositoryNotFoundError, 401)
        commit = self.branches[name].get(revision or "main", revision or "")
        if not (self.folder / name / commit).is_dir():
            raise answer(errors.RevisionNotFoundError, 404)
        return commit

    def _refuse(self) -> None:
        if self.refusal:
            raise self.refusal


class Tagged(Hub):
    """A hub whose last commit of a repository has the tag v1."""

    def create_commit(self, repo_id: str, *arguments: Any, **more: Any) -> Any:
        commit = super().create_commit(repo_id, *arguments, **more)
        self.branches[repo_id]["v1"] = commit.oid
        return commit


def put_in_place(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """Have huggingface_hub's functions be the stand-in's."""
    for name in FUNCTIONS:
        monkeypatch.setattr(huggingface_hub, name, getattr(hub, name))


def drift(stand_in: Any, real: Any) -> list[str]:
    """What a function of the stand-in takes otherwise than huggingface_hub's: its parameters, their kinds and defaults."""
    parameters = inspect.signature(real).parameters
    different = []
    for name, mine in inspect.signature(stand_in).parameters.items():
        theirs = parameters.get(name)
        if theirs is None or (mine.kind, mine.default) != (theirs.kind, theirs.default):
            different.append(f"{mine}, not {theirs}")
    wanted = [name for name, each in parameters.items() if each.default is each.empty]
    return different + [f"{name} is needed" for name in wanted if name not in inspect.signature(stand_in).parameters]
