"""The rooms of the code: no import goes up, none in a circle (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "alexnet"

LEVELS = (
    ("ground",),
    ("network", "data"),
    ("run",),
    ("evaluation",),
    ("training", "insight", "doctor"),
    ("exchange",),
    ("claims",),
    ("cli", "__init__"),
)
"""From below: a room may import from itself and from those below it."""

LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def room_of(module: str) -> str:
    first = module.split(".")[1] if "." in module else "__init__"
    return first if first in LEVEL or (PACKAGE / first).is_dir() else "ground"


def imported(file: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "alexnet":
            for alias in node.names:
                inner = PACKAGE.joinpath(*node.module.split(".")[1:], alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                modules.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return modules


FILES = {
    "alexnet." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.name not in ("__init__.py", "__main__.py")
}


@pytest.mark.parametrize("module", FILES)
def test_no_import_goes_up(module: str) -> None:
    here = room_of(module)
    for other in imported(FILES[module]):
        there = room_of(other)
        assert there == here or LEVEL[there] < LEVEL[here], (
            f"{module} imports {other}, which lies above it or beside it"
        )


def test_every_room_has_its_level() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= LEVEL.keys()
