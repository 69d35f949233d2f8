"""The rooms of the code: no import goes up, none in a circle (docs/architecture.md); each file is read in one sitting, and a
reader with the paper in hand finds its sentences."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "alexnet"

LEVELS = (
    ("ground",),
    ("network", "data"),
    ("run",),
    ("evaluation",),
    ("training", "insight", "doctor"),
    ("exchange", "explore"),
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
    rooms = {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))}
    assert rooms <= LEVEL.keys()


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or node.lineno) - node.lineno < 60, f"{node.name} has over 60 lines"


@pytest.mark.parametrize("file", sorted((PACKAGE / "explore" / "page").iterdir()), ids=lambda file: file.name)
def test_files_of_the_page_are_short_and_load_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 350
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg\b)", text)  # which is a name, and nothing to load


SENTENCES = {
    "mean activity over the training set": "data/statistics.py",  # §2
    "k + alpha · the sum of a² over n": "network/spec.py",  # §3.3
    "kernels of the third layer are connected to all": "network/spec.py",  # §3.5
    "biases of 1 in the second": "network/networks.py",  # §5
    "Overlapping max pooling": "network/spec.py",  # §3.4
    "PCA, alpha drawn once": "data/augment.py",  # §4.1
    "x (1 - p) at test: the paper's form": "network/layers.py",  # §4.2: outputs × 0.5
    "weight decay 0.0005": "training/rule.py",  # §5
    "divide by 10 when the validation error stops": "run/schedule.py",  # §5
    "averaged over their ten patches": "run/views.py",  # §4.1
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_of_the_paper_is_in_one_file(sentence: str) -> None:
    files = [file for file in PACKAGE.rglob("*.py") if sentence in file.read_text()]
    assert [str(file.relative_to(PACKAGE)) for file in files] == [SENTENCES[sentence]]
