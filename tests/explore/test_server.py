"""What the server takes and answers: uploads of all kinds, paths of all kinds, and its place on this machine."""

import json
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.cli import main
from alexnet.data.image import Unreadable, to_square
from alexnet.errors import InputError
from alexnet.explore import images, server
from alexnet.explore.answers import URLS
from tests.damage import damaged
from tests.data.making import encode, jpeg, jpeg_of, picture, png_of, rotated
from tests.explore.conftest import Explorer

PICTURE = picture(48, 64)


def test_the_page_and_its_index(explorer: Explorer) -> None:
    page = explorer.client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    index = explorer.client.get("/api/index.json").json()
    assert index["live"] is True and index["runs"] == ["tiny-run"] and index["most_bytes"] == images.MOST_BYTES
    assert index["data"] == str(explorer.session.data and explorer.session.data.path)


def upload(explorer: Explorer, content: bytes, name: str = "photo.jpg") -> tuple[int, dict]:
    answer = explorer.client.post("/api/images", content=content, headers={"X-Name": quote(name)})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "content", [jpeg(PICTURE), encode(PICTURE, "PNG"), rotated(PICTURE, 6), encode(PICTURE, "WEBP")]
)
def test_an_uploaded_image_is_the_one_that_prepare_would_make_of_it(explorer: Explorer, content: bytes) -> None:
    status, about = upload(explorer, content, "großes Foto 한.jpg")
    assert status == 201 and about["name"] == "großes Foto 한.jpg" and about["label"] is None
    size = explorer.session.run("tiny-run").trained.size
    square = explorer.client.get(f"/api/runs/tiny-run/images/{about['id']}/square.png").content
    np.testing.assert_array_equal(to_square(square, size), to_square(content, size))
    whole = explorer.client.get(f"/api/images/{about['id']}/original.jpg")
    sides = (64, 48) if content == rotated(PICTURE, 6) else (48, 64)
    assert images.to_fit(whole.content, 640).shape == (*sides, 3)
    assert images.to_fit(explorer.client.get(f"/api/images/{about['id']}/thumb.jpg").content, 640).shape == (96, 96, 3)


HOSTILE = {
    "nothing": b"",
    "no image": b"<svg onload=alert(1)>",
    "cut off": jpeg(PICTURE)[:-200],
    "only a header": jpeg(PICTURE)[:20],
    "a bomb": png_of(100_000, 100_000),
    "a large JPEG by its header": jpeg_of(65_000, 65_000),
    "no rows": png_of(64, 64),
    "zeros": bytes(100_000),
    "a gzip bomb": b"\x1f\x8b" + bytes(1000),
    "a TIFF of nonsense": b"II*\0" + b"\xff" * 200,
    "a program": b"\x7fELF" + bytes(200),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_upload_is_one_line_and_the_server_goes_on(explorer: Explorer, content: bytes) -> None:
    with pytest.raises(Unreadable) as reason:
        to_square(content, 32)
    status, about = upload(explorer, content)
    assert (status, about) == (422, {"error": str(reason.value)}) and "\n" not in about["error"]
    assert upload(explorer, jpeg(PICTURE))[0] == 201


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(*(damaged(whole) for whole in (jpeg(PICTURE), encode(PICTURE, "PNG"), encode(PICTURE, "TIFF"))))
)
def test_a_damaged_image_is_taken_as_prepare_takes_it_or_is_one_line(explorer: Explorer, content: bytes) -> None:
    status, about = upload(explorer, content)
    try:
        to_square(content, 32)
    except Unreadable:
        assert status == 422 and "\n" not in about["error"]
    else:
        assert status == 201
        answer = explorer.client.get(f"/api/runs/tiny-run/images/{about['id']}/answer.json")
        assert answer.status_code == 200


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>.jpg", "\x1b[31m", "a\nb", "\udcff", "x" * 5000, ""])
def test_a_name_is_shown_on_one_line_and_never_used_as_a_path(explorer: Explorer, name: str) -> None:
    answer = explorer.client.post(
        "/api/images", content=jpeg(PICTURE), headers={"X-Name": quote(name, errors="surrogateescape")}
    )
    shown = answer.json()["name"]
    assert answer.status_code == 201 and shown.isprintable() and len(shown) < 300


def test_more_bytes_than_an_image_may_have_are_refused(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    status, about = upload(explorer, jpeg(picture(200, 200)))
    assert status == 413 and "\n" not in about["error"]
    assert upload(explorer, jpeg(picture(8, 8))[:1000])[0] in (201, 422)


def test_the_oldest_uploads_go(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_UPLOADS", 3)
    ids = [upload(explorer, encode(picture(8, 8, seed=seed), "PNG"))[1]["id"] for seed in range(5)]
    there = [explorer.client.get(f"/api/images/{id}/thumb.jpg").status_code for id in ids]
    assert there == [404, 404, 200, 200, 200]
    monkeypatch.setattr(images, "UPLOADED_BYTES", len(encode(picture(8, 8, seed=9), "PNG")))
    last = upload(explorer, encode(picture(8, 8, seed=9), "PNG"))[1]["id"]
    there = [explorer.client.get(f"/api/images/{id}/thumb.jpg").status_code for id in [*ids, last]]
    assert there == [404] * 5 + [200]


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "//etc/passwd",
        "/api/images/..%2f..%2fserver.py/thumb.jpg",
        "/api/images/%2e%2e/thumb.jpg",
        "/api/runs/..%2f/network.json",
        "/api/runs/tiny-run/kernels/..%2f1.bin",
        "/api/runs/tiny-run/weights/..%2fconv1.bin",
        "/api/runs/tiny-run/images/val-0/steps/conv1%00.bin",
        "/%00",
        "/nothing.html",
        "/api",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_path_leads_out_of_the_page(explorer: Explorer, path: str) -> None:
    answer = explorer.client.get(path)
    assert answer.status_code in (404, 422) and list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("runs/none/network.json", 404),
        ("runs/tiny-run/images/nothing/answer.json", 404),
        ("runs/tiny-run/images/train-99999/answer.json", 404),
        ("runs/tiny-run/images/val-0/answer.json", 404),  # a set without a split of that name
        ("runs/tiny-run/images/train-0/why/4.json", 404),
        ("runs/tiny-run/images/train-0/why/-1.json", 404),
        ("runs/tiny-run/images/train-0/why/first.json", 422),
        ("runs/tiny-run/images/train-0/steps/conv9.bin", 404),
        ("runs/tiny-run/weights/relu1.bin", 404),
        ("runs/tiny-run/weights/fc4.bin", 404),
        ("runs/tiny-run/weights/conv1/0.bin", 404),
        ("runs/tiny-run/weights/fc4/32.bin", 404),
        ("runs/tiny-run/weights/fc4/-1.bin", 404),
        ("runs/tiny-run/kernels/99999.bin", 404),
        ("runs/tiny-run/kernels/99999999999999999999.bin", 404),
        ("runs/tiny-run/units/conv1/16.json", 404),
        ("runs/tiny-run/units/dropout4/1.json", 404),
        ("samples.json?split=secret", 404),
        ("samples.json?label=none", 404),
        ("samples.json?count=many", 422),
    ],
)
def test_what_is_not_there_is_one_line(explorer: Explorer, path: str, status: int) -> None:
    answer = explorer.client.get(f"/api/{path}")
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


def test_no_url_takes_another_method(explorer: Explorer) -> None:
    for url in URLS:
        assert explorer.client.post(f"/{url}").status_code == 405
    assert explorer.client.put("/api/images", content=b"x").status_code == 405


def test_it_listens_on_this_machine_alone_and_takes_the_next_port_that_is_free(explorer: Explorer) -> None:
    with server._listen(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with server._listen(port) as other:
            assert other.getsockname()[1] > port
    with pytest.raises(InputError, match="--port 70000"):
        server._listen(70000)


def test_a_server_answers_over_a_socket_and_ends(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[server.uvicorn.Server] = []
    make = server.uvicorn.Server
    monkeypatch.setattr(server.uvicorn, "Server", lambda config: servers.append(make(config)) or servers[-1])
    monkeypatch.setattr(explorer.session, "close", lambda: None)  # other tests go on with it
    seen: list[object] = []

    def ready(url: str) -> None:
        try:
            cookies = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            seen.append(cookies.open(url, timeout=20).status)
            base = url.partition("?")[0]
            seen.append(json.loads(cookies.open(f"{base}api/index.json", timeout=20).read())["runs"])
            seen.append(
                json.loads(cookies.open(f"{base}api/runs/tiny-run/images/train-3/answer.json", timeout=20).read())[
                    "top"
                ]
            )
        finally:
            servers[0].should_exit = True

    thread = threading.Thread(target=server.serve, args=(explorer.session, 0, ready))
    thread.start()
    thread.join(60)
    answer = explorer.client.get("/api/runs/tiny-run/images/train-3/answer.json").json()
    assert seen == [200, ["tiny-run"], answer["top"]] and not thread.is_alive()


def test_without_a_run_or_with_none_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(tmp_path), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error and error.count("\n") == 1


def test_without_its_extra_it_says_what_to_install(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("alexnet.explore.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["explore", str(tiny_run), "--no-browser"]) == 2
    assert 'pip install "alexnet[web]"' in capsys.readouterr().err


def test_only_its_own_socket_is_bound() -> None:
    # bound to 127.0.0.1, another address of this machine has nobody who answers
    with server._listen(0) as listening, socket.socket() as other:
        other.settimeout(2)
        with pytest.raises(OSError):
            other.connect(("127.0.0.2", listening.getsockname()[1]))
