"""The installed huggingface_hub speaks to a server on this machine: the network goes there and comes back, errors are told.

The server answers as the hub's documented API does, as far as `alexnet push` and `hf:OWNER/NAME` ask it.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")

REFUSED = {
    "missing": (401, {"X-Error-Code": "RepoNotFound"}),
    "gated": (403, {"X-Error-Code": "GatedRepo"}),
    "forbidden": (403, {"X-Error-Message": "no"}),
    "stranger": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
    "empty": (404, {"X-Error-Code": "EntryNotFound"}),
}
"""Repositories by name, and how the hub answers whoever asks for a file of them."""


class Handler(BaseHTTPRequestHandler):
    """One repository, someone/photos, whose commits are posted; and those that are refused."""

    commits: dict[str, dict[str, bytes]] = {}
    branches: dict[str, str] = {}
    posted: list[str] = []

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/api/"):
            return self._answer(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        _, _, name, _, revision, file = self.path.split("/")
        commit = self.branches.get(revision, revision)
        if name in REFUSED:
            status, headers = REFUSED[name]
            self._answer(status, b"", headers)
        elif commit not in self.commits:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            content = self.commits[commit][file]
            self._answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append(self.path)
        if self.headers["Authorization"] != "Bearer hf_test":
            self._answer(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif self.path == "/api/repos/create":
            self._json({"url": f"http://{self.headers['Host']}/someone/photos"})
        elif "/preupload/" in self.path:
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": each["path"], **modes} for each in json.loads(body)["files"]]})
        elif "/commit/" in self.path:
            lines = [json.loads(line)["value"] for line in body.splitlines()]
            commit = hashlib.sha1(body).hexdigest()
            self.commits[commit] = {each["path"]: base64.b64decode(each["content"]) for each in lines if "path" in each}
            self.branches[self.path.rpartition("/")[2]] = commit
            self._json(
                {"commitUrl": f"http://{self.headers['Host']}/someone/photos/commit/{commit}", "commitOid": commit}
            )
        else:  # validate-yaml, branch
            self._json({})

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What huggingface_hub finds the server by, in the environment."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    # What this machine sets for the hub, as another cache, is not asked.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    yield kept | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",  # said, since other names for it are asked where it is not
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "127.0.0.1",
    }
    server.shutdown()
    server.server_close()
    thread.join()


SCRIPT = """
import json, os, sys
import alexnet
import huggingface_hub.constants

def told(given):
    try:
        return alexnet.load(given).checkpoint
    except alexnet.InputError as error:
        return str(error)

first = alexnet.push(sys.argv[1], "someone/photos")
second = alexnet.push(sys.argv[1], "someone/photos", int8=True, revision="int8")
asked = ["", "@int8", f"@{first.commit}", f"@{second.commit}", "@nope"]
said = {at: told(f"hf:someone/photos{at}") for at in asked}
said |= {name: told(f"hf:someone/{name}") for name in sys.argv[2:]}
os.environ["HF_TOKEN"] = "hf_other"
try:
    alexnet.push(sys.argv[1], "someone/photos")
except alexnet.InputError as error:
    said["pushed with another token"] = str(error)
huggingface_hub.constants.HF_HUB_OFFLINE = True
said |= {"kept": told("hf:someone/photos"), "not kept": told("hf:someone/other")}
print(json.dumps({"commits": [first.commit, second.commit], "url": first.url, "said": said}))
"""


def test_the_installed_huggingface_hub_brings_it_there_and_back(served: dict[str, str], tiny_run: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tiny_run), *REFUSED]
    done = subprocess.run(command, env=served, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    said, commits = document["said"], document["commits"]
    assert document["url"] == f"{served['HF_ENDPOINT']}/someone/photos"
    assert [path.partition("/commit/")[2] for path in Handler.posted if "/commit/" in path] == ["main", "int8"]
    for commit in commits:
        assert Handler.commits[commit].keys() == {"model.safetensors", "README.md"}
    assert len(Handler.commits[commits[1]]["model.safetensors"]) < len(Handler.commits[commits[0]]["model.safetensors"])
    for at in ("", "@int8", *(f"@{commit}" for commit in commits), "kept"):
        assert said[at].startswith("step-"), said[at]
    assert "has no such branch, tag or commit" in said["@nope"]
    assert "no such repository, or a private one" in said["missing"]
    assert "asks for consent" in said["gated"]
    assert "refuses it (403)" in said["forbidden"] and "refuses it (401)" in said["stranger"]
    assert "no model.safetensors in it" in said["empty"]
    assert "HF_HUB_OFFLINE is set" in said["not kept"]
    assert "the hub refuses it (401); log in" in said["pushed with another token"] and len(Handler.commits) == 2
