"""The documentation site: every page is in its navigation, it builds strictly, and it fetches nothing from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def listed() -> list[str]:
    """The pages that mkdocs.yml's navigation names, in their order."""
    _, _, navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    return re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE)


def test_every_page_is_in_the_navigation_once() -> None:
    pages = listed()
    assert len(pages) == len(set(pages))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= set(pages)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module, package in (("material", "mkdocs-material"), ("mkdocstrings_handlers", "mkdocstrings-python")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'the site is built with {package}: pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    assert all((site / page).with_suffix(".html").is_file() for page in listed())


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    loads = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^\s>]+")
    for page in site.rglob("*.html"):
        assert not loads.findall(page.read_text()), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(?:https?:)?//", sheet.read_text()), sheet.name


def test_links_lead_to_files_of_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name != "404.html":  # it is shown at any address, so its links begin at the root
            for link in re.findall(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"?([^\"\s>#]+)", page.read_text()):
                if not re.match(r"\w+:", link):
                    assert (page.parent / link).resolve().exists(), f"{page.relative_to(site)} links to {link}"


def test_the_reference_has_every_command_and_its_options(site: Path) -> None:
    from alexnet.cli import COMMANDS

    page = (site / "reference" / "commands.html").read_text()
    headings = set(re.findall(r'<h2 id="([\w-]+)"', page))
    assert headings == set(COMMANDS)
    assert "--max-bad" in page and "--network.normalization" in page


def test_korean_pages_say_so_and_each_language_leads_to_the_other(site: Path) -> None:
    english, korean = (site / "index.html").read_text(), (site / "ko" / "index.html").read_text()
    assert '<html lang="en"' in english and '<html lang="ko"' in korean
    assert re.search(r'href="?ko/index.html"?[^>]*hreflang="?ko', english)
    assert re.search(r'href="?\.\./index.html"?[^>]*hreflang="?en', korean)
