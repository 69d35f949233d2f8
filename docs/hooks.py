"""What the site shows that docs/ does not hold: pages from elsewhere in the repository, and the help of every command.

mkdocs calls the functions whose names begin with `on_`. Files stay where they are; links between them work on GitHub, and
are turned here into links between pages.
"""

import contextlib
import io
import json
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

BROUGHT = {
    # file of the repository -> page of the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "src/alexnet/starter/README.md": "starter.md",
    "notebooks/paper.ipynb": "tutorials/paper.md",
}
NOTEBOOK = "> This is `notebooks/paper.ipynb` without what it prints: `make notebook` runs it, in about a minute.\n\n"

NO_PAGES = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"></urlset>'

CODE_OR_LINK = re.compile(r"^```.*?^```|`[^`\n]*`|\]\(([^)\s]+)\)", re.MULTILINE | re.DOTALL)
RULE = re.compile(r"\s*-+\s*")
WIDTH = 88
"""Letters in a line of a command's help."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that docs/ does not hold, and the files outside it that pages link to."""
    for source, page in BROUGHT.items():
        files.append(File.generated(config, page, content=_page_of(ROOT / source)))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    for folder in sorted((DOCS / "runs").iterdir()):
        listed = "\n".join(f"- [{file.name}]({file.name})" for file in sorted(folder.iterdir()))
        files.append(File.generated(config, f"runs/{folder.name}/index.md", content=f"# {folder.name}\n\n{listed}\n"))
    # Asked for by the language switch; a page has no translation of the same name, so it leads to the language's first page.
    files.append(File.generated(config, "ko/sitemap.xml", content=NO_PAGES))
    for page in files.documentation_pages():
        for target in _linked(page):
            if target.is_file() and DOCS not in target.parents and str(target.relative_to(ROOT)) not in BROUGHT:
                name = _address(target)
                if name not in files.src_uris:
                    files.append(File.generated(config, name, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that hold on GitHub into those that hold on the site."""
    folder = _folder(page.file)
    here = os.path.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        link = match[1]
        if not link or "://" in link or link.startswith("#"):
            return match[0]
        name, _, anchor = link.partition("#")
        address = os.path.relpath(_address((folder / name).resolve()), here)
        return f"]({address}{'#' + anchor if anchor else ''})"

    return CODE_OR_LINK.sub(turned, markdown)


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Any) -> None:
    """Speak Korean around Korean pages."""
    config.theme["language"] = "ko" if page.file.src_uri.startswith("ko/") else "en"


def _folder(file: File) -> Path:
    """The folder of the repository that a page's links start from."""
    source = next((source for source, page in BROUGHT.items() if page == file.src_uri), None)
    return (ROOT / source if source else DOCS / file.src_uri).parent


def _linked(page: File) -> list[Path]:
    links = [match[1].partition("#")[0] for match in CODE_OR_LINK.finditer(page.content_string) if match[1]]
    return [(_folder(page) / link).resolve() for link in links if link and "://" not in link]


def _address(target: Path) -> str:
    """Where a file or folder of the repository is on the site, seen from its top."""
    name = str(target.relative_to(ROOT))
    if name in BROUGHT:
        return BROUGHT[name]
    if DOCS in target.parents:
        inside = target.relative_to(DOCS)
        return str(inside / "index.md" if target.is_dir() else inside)
    return f"repository/{name}"


def _page_of(source: Path) -> str:
    text = source.read_text()
    if source.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    title, _, rest = cells[0][1].partition("\n")
    parts = [f"{title}\n\n{NOTEBOOK}{rest}"]
    parts += [f"```python\n{cell}\n```" if kind == "code" else cell for kind, cell in cells[1:]]
    return "\n\n".join(parts) + "\n"


def _commands() -> str:
    """A page with what every command's --help prints."""
    sys.path.insert(0, str(ROOT / "src"))
    from alexnet.cli import COMMANDS

    page = "# Commands\n\nWhat `alexnet COMMAND --help` prints, command by command.\n"
    for command, (_, purpose) in COMMANDS.items():
        page += f"\n## {command}\n\n{purpose[0].upper()}{purpose[1:]}.\n\n```text\n{_help(command)}\n```\n"
        for words in {"train": ["paper"], "claims": ["run"]}.get(command, []):
            page += f"\n### {command} {words}\n\n```text\n{_help(command, words)}\n```\n"
    return page


def _help(*arguments: str) -> str:
    from alexnet.cli import main

    printed, width = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*arguments, "--help"])
    finally:
        os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
    lines = [line.rstrip() for line in printed.getvalue().splitlines() if not RULE.fullmatch(line)]
    return "\n".join(
        textwrap.fill(line, WIDTH, drop_whitespace=False) if len(line) > WIDTH else line for line in lines
    ).strip()
