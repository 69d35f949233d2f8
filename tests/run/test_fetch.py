"""A network file from a URL is downloaded once, kept, and never used with another SHA-256 than was asked for."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import alexnet
from alexnet.cli import main
from alexnet.errors import InputError
from alexnet.run import fetch

CONTENT = bytes(range(256)) * 20
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A server of a folder, with what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                asked.append(self.path)
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/n.safetensors")
                    self.end_headers()
                elif self.path == "/cut":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(CONTENT)))
                    self.end_headers()
                    self.wfile.write(CONTENT[:100])
                else:
                    super().do_GET()

        self.served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.served.server_port}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "n.safetensors").write_bytes(CONTENT)
    server = Server(tmp_path / "served")
    thread = threading.Thread(target=server.served.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.served.shutdown()
    server.served.server_close()
    thread.join()


def kept(tmp_path: Path) -> list[str]:
    """All files in the cache, hidden ones too."""
    return [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", ["n.safetensors", "moved"])
def test_it_is_downloaded_once_and_kept(name: str, server: Server, tmp_path: Path) -> None:
    url = f"{server.url}/{name}#sha256={DIGEST}"
    file = fetch.fetch(url)
    assert file.read_bytes() == CONTENT and file == tmp_path / "cache" / "alexnet" / f"{DIGEST}.safetensors"
    asked = len(server.asked)
    assert fetch.fetch(url.replace("sha256=" + DIGEST, "sha256=" + DIGEST.upper())) == file
    assert len(server.asked) == asked and kept(tmp_path) == [file.name]


def test_one_that_was_damaged_in_the_cache_is_downloaded_again(server: Server) -> None:
    url = f"{server.url}/n.safetensors#sha256={DIGEST}"
    fetch.fetch(url).write_bytes(CONTENT[:-1])
    assert fetch.fetch(url).read_bytes() == CONTENT and len(server.asked) == 2


@pytest.mark.parametrize("fragment", ["", "#", "#sha256=", "#sha256=12", "#md5=" + "0" * 32, f"#{DIGEST}"])
def test_a_url_without_a_checksum_is_refused_and_nothing_is_asked_for(
    fragment: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"by its SHA-256, as http.*/n\.safetensors#sha256=.*alexnet export prints it"):
        fetch.fetch(f"{server.url}/n.safetensors{fragment}")
    assert server.asked == [] and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["n.safetensors", "cut"])
def test_another_file_or_half_of_one_is_refused_and_not_kept(name: str, server: Server, tmp_path: Path) -> None:
    other = "0" * 64 if name == "n.safetensors" else DIGEST
    with pytest.raises(InputError, match=f"not {other}|cannot be downloaded") as raised:
        fetch.fetch(f"{server.url}/{name}#sha256={other}")
    assert "\n" not in str(raised.value) and kept(tmp_path) == []


def test_more_than_a_network_file_may_have_is_not_read_to_its_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MOST", 1000)
    with pytest.raises(InputError, match="more than the 1,000 bytes"):
        fetch.fetch(f"{server.url}/n.safetensors#sha256={DIGEST}")
    assert kept(tmp_path) == []


def test_where_nothing_can_be_downloaded_it_is_one_line(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/n"
        for url, message in (
            (f"{server.url}/absent", "Not Found|File not found"),
            (closed, "Connection refused"),
            ("http://127.0.0.1:99999/n", "cannot be downloaded"),
            ("https://no.such.host.invalid/n", "cannot be downloaded"),
            ("http://[/n", "Invalid IPv6"),
        ):
            with pytest.raises(InputError, match=message) as raised:
                fetch.fetch(f"{url}#sha256={DIGEST}")
            assert "\n" not in str(raised.value) and "download it by other means" in str(raised.value)
    assert kept(tmp_path) == []


def test_the_cache_is_in_the_home_folder_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/somewhere")
    assert fetch.cache() == Path("/somewhere/.cache/alexnet")


def test_a_network_at_a_url_is_used_by_python_and_by_commands(
    server: Server, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tiny_file.read_bytes()
    (tmp_path / "served" / "tiny.safetensors").write_bytes(content)
    url = f"{server.url}/tiny.safetensors#sha256={hashlib.sha256(content).hexdigest()}"
    assert alexnet.load(url).classes == alexnet.load(tiny_file).classes
    assert main(["kernels", url, str(tmp_path / "k.svg")]) == 0, capsys.readouterr().err  # whose type is Path
    assert main(["import", url, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    assert server.asked == ["/tiny.safetensors"]
    assert main(["evaluate", url]) == 2
    assert "alexnet import http:/" in capsys.readouterr().err
