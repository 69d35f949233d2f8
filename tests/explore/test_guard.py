"""Nobody without the token, no other host's page, and nothing in the page that this server did not give."""

import stat
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.cli import main
from alexnet.explore import server
from alexnet.explore.guard import NO_HOST, NO_ORIGIN, NO_TOKEN
from tests.explore.conftest import BASE, TOKEN, Explorer, client_of

PATHS = ("/", "/index.html", "/api/index.json", "/api/runs/tiny-run/network.json", "/nothing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}", "?token=%ff", f"?tokens={TOKEN}"]
)
def test_without_the_token_everything_is_one_line(explorer: Explorer, path: str, query: str) -> None:
    answer = client_of(explorer.session, token=None).get(path + query)
    assert (answer.status_code, answer.json()) == (403, {"error": NO_TOKEN})
    assert "set-cookie" not in answer.headers


def test_the_right_token_gives_a_cookie_that_scripts_and_other_sites_do_not_have(explorer: Explorer) -> None:
    client = client_of(explorer.session, token=None)
    cookie = client.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert client.get("/api/index.json").status_code == 200  # by the cookie


def test_a_wrong_or_broken_cookie_is_no_token(explorer: Explorer) -> None:
    client = client_of(explorer.session, token=None)
    name = client.get("/", params={"token": TOKEN}).headers["set-cookie"].partition("=")[0]
    client.cookies.clear()
    for cookie in (f"{name}=wrong", f"other={TOKEN}", f"{name}=", "=;=;\x01", f"{name}"):
        assert client.get("/api/index.json", headers={"Cookie": cookie}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8012", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", ""]
)
def test_a_name_of_another_machine_is_refused_even_with_the_token(explorer: Explorer, host: str) -> None:
    answer = explorer.client.get("/api/index.json", headers={"Host": host})
    assert (answer.status_code, answer.json()) == (403, {"error": NO_HOST})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9", "localhost", "localhost:8012"])
def test_this_machine_answers_to_its_names_at_any_port(explorer: Explorer, host: str) -> None:
    client = client_of(explorer.session, token=None)
    assert client.get(f"/api/index.json?token={TOKEN}", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:3000", "null", "https://127.0.0.1:8012"])
def test_a_page_of_another_origin_cannot_upload(explorer: Explorer, origin: str) -> None:
    answer = explorer.client.post("/api/images", content=b"x", headers={"Origin": origin})
    assert (answer.status_code, answer.json()) == (403, {"error": NO_ORIGIN})
    assert explorer.client.post("/api/images", content=b"x", headers={"Origin": BASE}).status_code == 422


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_page_may_load(explorer: Explorer, path: str) -> None:
    for client in (explorer.client, client_of(explorer.session, token=None)):
        headers = client.get(path).headers
        policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert policy.pop("img-src") == "'self' data: blob:" and policy.pop("media-src") == "'self' blob:"
        assert set(policy.values()) == {"'none'", "'self'"}
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'" and policy["script-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_the_browser_is_given_a_file_of_this_user_that_leads_to_the_page_and_goes_with_it(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, opened, there = f"{BASE}/?token={TOKEN}", [], []

    def serve(session: object, port: int, ready: Callable[[str], None]) -> None:
        ready(url)
        file = Path(opened[0].removeprefix("file://"))
        there.append(
            (file, file.read_text(), stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode))
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert main(["explore", str(tiny_run)]) == 0
    assert capsys.readouterr().out.strip() == url
    [(file, text, mode, folder_mode)] = there
    assert TOKEN not in opened[0] and f"url={url}" in text
    assert sys.platform == "win32" or (mode, folder_mode) == (0o600, 0o700)
    assert not file.parent.exists()
