"""The package as others install it: from a wheel, with no more than it asks for, read only, by an ordinary user."""

import json
import os
import shutil
import stat
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from benchmarks.installation import needed
from tests.conftest import CLASSES, write_class_folders

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "alexnet"

AS_AN_ORDINARY_USER = """
import ctypes, os, sys
if os.geteuid() == 0:  # root may write everywhere: without the two rights for that it is an owner like any other
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if ctypes.CDLL(None).prctl(24, capability):  # PR_CAPBSET_DROP
            sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `python -m build` makes of the source archive that it makes of the sources."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Without isolation, which would ask an index for setuptools.
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", source], capture_output=True, text=True, cwd=source
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


def link(name: str, site: Path) -> None:
    """Put an installed distribution into another environment without copying it."""
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(installed.locate_file(top))).resolve())


def install(wheel: Path, folder: Path, *extras: str) -> Path:
    """An environment with nothing but what the wheel and these extras ask for; returns its python."""
    venv.create(folder, symlinks=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    requirements = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    for name in needed(requirements, extras):
        link(name, site)
    asked = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    python = folder / "bin" / "python"
    # Without an index: what is linked has to be enough.
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-cache-dir", asked]
    done = subprocess.run([*command, "--disable-pip-version-check"], capture_output=True, text=True)
    if "No module named pip" in done.stderr:
        pytest.skip("no pip in this environment")
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def make_read_only(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for path in tmp_path.rglob("*"):  # read-only folders cannot be emptied
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def user_of(python: Path, place: Path) -> Run:
    """Runs a program of an environment as somebody who may write neither there nor into the home folder."""
    home = place / "home"
    home.mkdir()
    for folder in (python.parents[1], home):
        make_read_only(folder)
    (place / "work").mkdir()
    env = {"PATH": os.defpath, "HOME": str(home), "OMP_NUM_THREADS": "1"}

    def run(program: str, *args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", AS_AN_ORDINARY_USER, python.parent / program, *map(str, args)]
        done = subprocess.run(command, cwd=place / "work", env=env, capture_output=True, text=True, timeout=300)
        if done.returncode == 77:
            pytest.skip("root cannot give up its rights here")
        return done

    return run


def test_the_wheel_has_all_files_of_the_package_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == {f"alexnet/{path.relative_to(PACKAGE).as_posix()}" for path in files}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


LIGHT = """
import contextlib, io, json, sys
from alexnet.cli import main

said = {}
for name, *args in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(args)
        except SystemExit as error:
            code = error.code
    said[name] = code, out.getvalue(), err.getvalue()
print(json.dumps(said))
"""


def test_the_base_prepares_trains_evaluates_and_predicts(wheel: Path, place: Path) -> None:
    run = user_of(install(wheel, place / "environment"), place)
    version = wheel.name.split("-")[1]
    assert run("alexnet", "--version").stdout == f"alexnet {version}\n"
    photos = write_class_folders(place / "photos", 12, seed=1)
    commands = {
        "help": ("--help",),
        "prepare": ("prepare", photos, "data", "--size", 64),
        "data": ("data", "data"),
        "train": ("train", "demo", "--data", "data", "--out", "run", "--epochs", 1, "--batch", 8, "--device", "cpu"),
        "evaluate": ("evaluate", "run"),
        "predict": ("predict", "run", photos / CLASSES[0] / "000.png", "--json"),
        "summary": ("summary", "paper"),
        "torchvision": ("export", "run", "torchvision"),
        "doctor": ("doctor", "run"),
        "claims": ("claims",),
        "kernels": ("kernels", "run"),
        "builtin": ("prepare", "builtin", "builtin"),
        "caffe": ("export", "run", "caffe"),
        "onnx": ("export", "run", "onnx"),
    }
    done = run("python", "-c", LIGHT, json.dumps([[name, *map(str, args)] for name, args in commands.items()]))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for name in ("help", "prepare", "data", "train", "evaluate", "predict", "summary"):
        assert said[name][0] == 0, (name, said[name])
    work = place / "work"
    assert (work / "run" / "metrics.jsonl").is_file() and not (work / "run" / "tensorboard").exists()
    assert list((work / "run").glob("evaluation-*.json")) and not (work / "run" / "report.html").exists()
    assert len(json.loads(said["predict"][1])[0]["labels"]) == len(CLASSES)
    for name, package, extra in (
        ("data", "matplotlib", "report"),
        ("train", "tensorboard", "tensorboard"),
        ("train", "matplotlib", "report"),
        ("evaluate", "matplotlib", "report"),
        ("claims", "scipy", "claims"),
        ("kernels", "matplotlib", "report"),
        ("builtin", "scikit-image, scikit-learn", "demo"),
        ("caffe", "protobuf", "caffe"),
        ("onnx", "onnx, onnxruntime", "export"),
    ):
        code, _, err = said[name]
        assert f'need {package}: pip install "alexnet[{extra}]"' in err, (name, err)
        assert "Traceback" not in err and err.count(f"need {package}") == 1 and code in (0, 2)
    assert "not torchvision's alexnet" in said["torchvision"][2], "it looked at the network"
    assert "matplotlib" in said["doctor"][1] and "alexnet[demo]" in said["doctor"][1]


def test_the_demo_with_compiled_loops_that_can_be_kept_nowhere(wheel: Path, place: Path) -> None:
    pytest.importorskip("numba")
    python = install(wheel, place / "environment", "fast", "demo")
    run = user_of(python, place)
    commands = {
        "prepare": ("prepare", "builtin", "data"),
        "train": ("train", "demo", "--data", "data", "--out", "run", "--epochs", "1", "--precision", "float32"),
        "evaluate": ("evaluate", "run", "--views", "10"),
    }
    looks = "\nfrom alexnet import fast\nassert fast.compiled()\n"
    done = run(
        "python",
        "-W",
        "error::UserWarning:alexnet",
        "-c",
        LIGHT + looks,
        json.dumps([[n, *c] for n, c in commands.items()]),
    )
    assert done.returncode == 0, done.stderr
    assert [code for code, *_ in json.loads(done.stdout).values()] == [0, 0, 0], done.stdout
    assert not list(place.rglob("*.nbi")), "nothing was kept"
