"""`make gpu`'s own environment: over a machine's Python, whose torch stays; and the Makefile, which only calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.gpu import environment

ROOT = Path(__file__).parents[2]


def test_it_sees_the_packages_of_the_python_that_made_it_and_is_made_once(tmp_path: Path) -> None:
    place = tmp_path / "environment"
    python = environment.make(place)
    code = "import importlib.metadata as m, sys; print(sys.prefix, m.version('torch'), m.version('pip'))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    # This Python is in an environment itself, whose packages --system-site-packages would not show.
    import importlib.metadata as metadata

    assert found == [str(place), metadata.version("torch"), metadata.version("pip")]
    (place / "kept").touch()
    assert environment.make(place) == python and (place / "kept").exists()
    (place / "made-with").write_text("another Python")
    environment.make(place)
    assert not (place / "kept").exists()


def test_what_is_missing_is_found_by_name_and_version() -> None:
    wanted = ["torch>=2", "torch>=99", "no-such-package>=1", "numpy", "torchmetrics<1"]
    assert environment.missing(wanted) == ["torch>=99", "no-such-package>=1", "torchmetrics<1"]


@pytest.mark.parametrize(
    ("lack", "said"),
    [
        (["torch>=2.11", "tyro>=0.9.20"], "has no torch>=2.11, and a machine's torch is never replaced"),
        (["tyro>=0.9.20"], "missing here: tyro>=0.9.20, and pip could not get them from wheels"),
    ],
)
def test_what_cannot_be_set_up_is_named_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, lack: list[str], said: str
) -> None:
    monkeypatch.setattr(environment, "missing", lambda requirements: lack)
    monkeypatch.setattr(environment.sys, "prefix", str(tmp_path))
    calls: list[list[str]] = []

    def fails(command: list[str]) -> subprocess.CompletedProcess:
        calls.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(environment.subprocess, "run", fails)
    with pytest.raises(SystemExit) as end:
        environment.fill("wheels")
    assert end.value.code == 2 and said in capfd.readouterr().err
    if len(lack) == 1:
        [command] = calls
        assert command[6:9] == ["--no-index", "--find-links", "wheels"] and command[-1] == "tyro>=0.9.20"
        fixed = Path(command[command.index("-c") + 1]).read_text()
        assert fixed.startswith("torch=="), "pip may not take another"
    else:
        assert not calls


def test_make_gpu_sets_up_and_calls_alexnet_and_nothing_else() -> None:
    given = [
        "DATA=imagenette",
        "CIFAR=cifar10",
        "OUT=out",
        "MINUTES=7",
        "JOBS=2",
        "PIECES=check steps",
        "WHEELS=wheels",
    ]
    given += ["PYTHON=python3.12", "COMMIT=abc1234", "NOTE=JPEGs of quality 90"]
    # `make test` tells the make below it what it was told itself.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-n", "gpu", *given], cwd=ROOT, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    setup, call = " ".join(done.stdout.replace("\\\n", " ").split()).split(" ALEXNET_COMMIT=")
    assert setup == "python3.12 src/alexnet/gpu/environment.py .venv-gpu wheels"
    assert call == (
        "'abc1234' .venv-gpu/bin/alexnet gpu check steps --out out --minutes 7 --data imagenette --cifar cifar10 --jobs 2"
        " --note 'JPEGs of quality 90'"
    )


def test_the_file_needs_nothing_but_the_standard_library_to_begin(tmp_path: Path) -> None:
    script = Path(environment.__file__)
    code = f"import runpy, sys; sys.argv = ['x', 'y', '--inside']; runpy.run_path({str(script)!r}, run_name='begun')"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=tmp_path)
