"""A session of a small run, and a client that has its token."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("starlette.testclient", reason="its client needs httpx2")

from starlette.testclient import TestClient

from alexnet.data.prepared import Prepared
from alexnet.explore.server import application
from alexnet.explore.session import Session

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8012"


@dataclass
class Explorer:
    """An explorer as its page sees it."""

    session: Session
    client: TestClient
    run: Path


def client_of(session: Session, token: str | None = TOKEN) -> TestClient:
    """A client of a session's application, with its cookie where it has the token."""
    client = TestClient(application(session, TOKEN), base_url=BASE)
    if token:
        assert client.get("/", params={"token": token}).status_code == 200
    return client


@pytest.fixture(scope="package")
def explorer(tiny_run: Path, tiny_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """Of a copy of `tiny_run`, in which features may be kept."""
    run = tmp_path_factory.mktemp("explore") / "tiny run"
    shutil.copytree(tiny_run, run)
    session = Session([run])
    yield Explorer(session, client_of(session), run)
    session.close()
