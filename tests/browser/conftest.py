"""Pages in a real browser, Debian's chromium: fixtures `page`, `problems` and `axe`; skipped where there is none."""

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")

QUIET = (
    "--no-sandbox",  # which root, as in a container, cannot have
    "--disable-dev-shm-usage",  # a container's is small
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving test picture
    "--use-fake-ui-for-media-stream",  # and is given without a question
)

LEVELS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")


# Not of the session: while playwright runs, an event loop is running in this thread, which other tests may not expect.
@pytest.fixture(scope="package")
def browser() -> "Iterator[Browser]":
    """A chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def problems() -> list[str]:
    """What went wrong in `page` so far; a test that provokes an error takes it out of the list."""
    return []


@pytest.fixture
def page(browser: "Browser", problems: list[str]) -> "Iterator[Page]":
    """An empty page of 1280x800; fails after a test for an error in the console and for a request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    opened.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(f"error: {error}"))
    opened.on("request", lambda request: problems.extend(_elsewhere(request.url)))
    yield opened
    context.close()
    assert not problems


def _elsewhere(url: str) -> list[str]:
    parts = urlsplit(url)
    local = parts.scheme in ("file", "data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")
    return [] if local else [f"request: {url}"]


@pytest.fixture(scope="session")
def axe() -> "Callable[[Page], list[str]]":
    """What axe-core finds against WCAG 2, levels A and AA, on a page as it stands: a line for each element."""
    module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make setup")
    checker = module.Axe()

    def check(page: "Page") -> list[str]:
        answer: dict[str, Any] = checker.run(page, options={"runOnly": {"type": "tag", "values": LEVELS}}).response
        return [
            f"{rule['id']}: {node['target']}: {node['failureSummary']}"
            for rule in answer["violations"]
            for node in rule["nodes"]
        ]

    return check
