"""What the repository says of itself: what the pages name exists, every dependency is pinned, nothing local leaks."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.documented import PAGES, ROOT, spans

PACKAGE = ROOT / "src" / "alexnet"


def tracked() -> list[Path]:
    """Text files of the repository, those about to be committed too."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not in a git checkout")
    files = [ROOT / name for name in names if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()[:8192]]


@cache
def help_of(*words: str) -> str:
    """The help of a command, with options as they are written."""
    cli = pytest.importorskip("alexnet.cli")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return said.getvalue().replace("_", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_the_text_names_exist_and_have_these_options(page: Path) -> None:
    """What blocks and tables have a reader run is run by tests/end_to_end/test_documented_commands.py."""
    cli = pytest.importorskip("alexnet.cli")
    for name in spans(page.read_text()):
        if not name.startswith("alexnet ") or name.startswith(("alexnet --", "alexnet COMMAND")):
            continue
        _, command, *words = shlex.split(name)
        if command == "...":
            continue
        assert command in cli.COMMANDS, f"{page}: {name}"
        # A recipe's or a network's own fields are listed by the help of that recipe or network; --from has those of any recipe.
        first = ["paper"] if command == "train" and words[:1] == ["--from"] else words[:1]
        listed = help_of(command) + help_of(command, *first)
        missing = [word for word in words if word.startswith("--") and word.partition("=")[0] not in listed]
        assert not missing, f"{page}: {name}: alexnet {command} --help has no {missing}"


def pins() -> dict[str, str]:
    """Package -> version, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    """A package's name as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def test_every_dependency_is_pinned_to_a_version_that_pyproject_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    pinned = pins()
    for requirement in wanted:
        if requirement.startswith("alexnet["):  # other extras
            continue
        name, _, least = requirement.partition(">=")
        assert normal(name) in pinned, f"constraints.txt does not pin {name}"
        assert numbers(pinned[normal(name)]) >= numbers(least), f"constraints.txt pins {name} below {least}"


def test_the_package_carries_every_file_that_is_no_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = {
        file for pattern in project["tool"]["setuptools"]["package-data"]["alexnet"] for file in PACKAGE.glob(pattern)
    }
    other = {file for file in tracked() if file.is_relative_to(PACKAGE) and file.suffix != ".py"}
    assert other <= shipped, "pyproject.toml: package-data leaves them out of the wheel"


def test_constraints_are_plain_versions() -> None:
    for name, version in pins().items():
        assert re.fullmatch(r"[\w.]+", version), f"{name}=={version} is of one machine"


def test_no_registry_and_no_path_of_one_machine_is_written_down() -> None:
    # In two parts, as this file is tracked too.
    hosts = re.compile(
        "|".join(["pypi\\." + "org", "files\\.python" + "hosted", "download\\.pytorch\\." + "org", "/simple" + "/"])
    )
    paths = re.compile(r"(?<![\w.])/(?:work|home|root|Users|opt)/" + r"\w")
    for file in tracked():
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            where = f"{file.relative_to(ROOT)}:{number}"
            assert not hosts.search(line), f"{where} names a package registry: {line.strip()[:100]}"
            assert not paths.search(line), f"{where} names a path of one machine: {line.strip()[:100]}"


def test_the_tables_of_the_performance_page_are_what_the_results_give() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_said_to_be_survived_has_its_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| attack", "|--"))]
    assert all("::" in row for row in rows) and len(named) >= len(rows) > 40
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{file}::{name}"


NOT_HERE = {"convdata.py", "tests/FILE.py"}
"""A file of the 2012 program, and a placeholder."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_files_that_the_pages_name_exist(page: Path) -> None:
    files = [file for folder in ("src", "tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    anywhere = {file.name for file in files}
    whole = {
        str(file.relative_to(top)) for top in (ROOT, PACKAGE, ROOT / "tests") for file in files if top in file.parents
    }
    for code in re.findall(r"`([^`\n]+)`", page.read_text()):
        for name in re.findall(r"[\w/]+\.py\b", code):
            assert name in (whole if "/" in name else anywhere) | NOT_HERE, f"{page.name} names {name}"


def anchors(page: Path) -> set[str]:
    """What a link may name behind # in a page: its headings, as GitHub makes anchors of them, and ids in its text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {heading.strip().replace(" ", "-") for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.exists(), f"{page.name} links to {link}"
            assert not anchor or anchor in anchors(target), f"{page.name} links to {link}: there is no such heading"


def test_the_picture_of_the_architecture_has_every_module() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    folder, drawn = "", set()
    for indent, name in re.findall(r"^( +)([\w/]+(?:\.py|/)) +\S", picture, re.MULTILINE):
        if name.endswith("/"):
            folder = name
        else:
            drawn.add((folder if len(indent) > 2 else "") + name)
    modules = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if not file.stem.startswith("__")}
    assert drawn == modules
    assert max(map(len, picture.splitlines())) <= 132
