"""Every command and every line of Python of the documentation is run, page by page, in the order of the page.

A reader starts in an empty folder, with a shell, and runs what the page says (`reader.py`). What pages take for granted is in
`stand_ins.py`, how it takes seconds in `in_small.py`, and the few commands that are not run in `reader.NOT_RUN`.
"""

import re
from pathlib import Path

import pytest

from tests.documented import BLOCK, PAGES, PROGRAMS, ROOT, Step, all_lines, spans, steps

from . import reader
from .in_small import in_small
from .stand_ins import STAND_INS

TO_RUN = {str(page.relative_to(ROOT)): page for page in PAGES if steps(page.read_text())}

APART = ("docs/faq.md",)
"""Pages of which somebody reads a section, and not all: each section begins in an empty folder."""


def test_steps_are_blocks_of_shell_and_python_and_commands_in_tables() -> None:
    page = """# One
alexnet prose, `alexnet prose --too`
| to | `alexnet data d`, `alexnet data` and `make demo` |

```sh
$ alexnet train demo \\
  --data d
.venv/bin/alexnet summary paper  # table
```

```text
alexnet output
```

## Two

1. In a list:

   ```python
   if True:
       print()
   ```
"""
    assert steps(page) == [
        Step("One", "sh", "alexnet data d"),
        Step("One", "sh", "make demo"),
        Step("One", "sh", "alexnet train demo \\\n  --data d\nalexnet summary paper  # table\n"),
        Step("Two", "python", "if True:\n    print()\n"),
    ]
    assert spans(page) == ["alexnet prose --too", "alexnet data d", "alexnet data", "make demo"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_say_whether_they_are_to_be_run(page: Path) -> None:
    for block in re.finditer(BLOCK, page.read_text(), re.MULTILINE | re.DOTALL):
        assert block["language"] in ("sh", "python", "text", ""), (
            f"```{block['language']}: write sh for what a reader runs"
        )
        if not block["language"]:
            assert not re.search(rf"^\s*(\$ |({'|'.join(PROGRAMS)}) )", block["code"], re.MULTILINE), block[0]


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> reader.Reader:
    """Whose folder keeps what pages take for granted, each made when the first page asks for it."""
    return reader.Reader("stand_ins.py", tmp_path_factory.mktemp("stand-ins"))


@pytest.mark.filterwarnings(
    "error::pytest.PytestUnhandledThreadExceptionWarning"
)  # of whoever opens a page that is served
@pytest.mark.parametrize("page", TO_RUN)
def test_what_the_page_says_can_be_run(
    page: str, before: reader.Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small(monkeypatch, tmp_path / "hub")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    readers: dict[str, reader.Reader] = {}
    for step in steps(TO_RUN[page].read_text()):
        section = step.heading if page in APART else ""
        if section not in readers:
            folder = tmp_path / f"section-{len(readers)}"
            folder.mkdir()
            readers[section] = reader.Reader(page, folder, before)
        readers[section].run(step)


def test_a_failing_step_is_named_with_what_it_said(tmp_path: Path) -> None:
    someone = reader.Reader("page.md", tmp_path)
    for step, said in (
        (
            Step("", "sh", "for n in 1 2; do alexnet summary papers$n; done"),
            r"page\.md: alexnet summary papers1\n.*no network",
        ),
        (Step("", "sh", "alexnet summary paper; cat nothing"), "cat: nothing"),
        (Step("", "sh", "alexnet data data/nowhere"), "STAND_INS"),
        (Step("", "sh", "make no-such-target"), "page.md: make no-such-target"),
        (Step("", "sh", "python benchmarks/tables.py --no-such-option"), "python benchmarks/tables.py"),
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception), match=f"(?s){said}"):
            someone.run(step)
    with pytest.raises(NameError):
        someone.run(Step("", "python", "print(nothing)"))


def test_a_command_that_shall_find_something_wrong_has_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "EXIT_CODES", {"alexnet --version": 2})
    with pytest.raises(pytest.fail.Exception, match="ends with 0 instead of 2"):
        reader.Reader("page.md", tmp_path).run(Step("", "sh", "alexnet --version"))


def test_all_that_is_prepared_for_pages_is_used_by_one() -> None:
    written = all_lines()
    for start in reader.NOT_RUN:
        assert any(line.startswith(start) for line in written), f"NOT_RUN: no page says {start}"
    whole = {line.partition(" #")[0].strip() for line in written}
    for command in (*reader.EXIT_CODES, *reader.UNNAMED):
        assert command in whole, f"no page says {command}"
    code = [step.code for page in PAGES for step in steps(page.read_text())]
    text = "\n".join([*code, *(make for make in STAND_INS.values() if isinstance(make, str)), *reader.UNNAMED.values()])
    for path in (*STAND_INS, *reader.PLACEHOLDERS):
        assert re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", text), f"STAND_INS: no page takes {path}"


def benchmarks() -> dict[str, set[str]]:
    """Every benchmark that a page names, with the options that pages give it."""
    options: dict[str, set[str]] = {}
    for written in [*all_lines(), *(name for page in PAGES for name in spans(page.read_text()))]:
        for script, more in re.findall(r"\bpython3? (?:-m )?(benchmarks[/.][\w./]+)([^#&]*)", written):
            options.setdefault(script, set()).update(re.findall(r"--[\w-]+", more))
    return options


@pytest.mark.parametrize("name", sorted(benchmarks()))
def test_a_benchmark_explains_its_options(name: str) -> None:
    assert benchmarks()[name] <= reader.options_of_benchmark(name)
