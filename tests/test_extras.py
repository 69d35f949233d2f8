"""The extras: what each brings is looked for by the right names, and every module can be imported without any of them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alexnet.doctor import machine
from alexnet.errors import InputError
from alexnet.extras import EXTRAS, PACKAGES, TRACKERS, lacking, missing, need

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ELSEWHERE = {"all", "dev", "docs", "notebook"}
"""Extras that no module of the package looks for."""
ALONE = {"all", "dev", "docs", *TRACKERS}
"""Extras that `all` does not bring."""


def names_of(extra: str) -> set[str]:
    return {text.partition(">=")[0] for text in PROJECT[extra]}


def test_extras_bring_what_commands_look_for() -> None:
    assert EXTRAS.keys() == PROJECT.keys() - ELSEWHERE
    for extra, (_, modules) in EXTRAS.items():
        assert {PACKAGES.get(name, name) for name in modules} == names_of(extra), extra


def test_all_is_all_but_what_is_asked_for_alone() -> None:
    (everything,) = PROJECT["all"]
    assert set(everything.removeprefix("alexnet[").removesuffix("]").split(",")) == PROJECT.keys() - ALONE


def test_what_is_missing_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("skimage", "google.protobuf"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "sklearn", sys)
    assert missing("demo") == ["scikit-image"] and missing("demo", "sklearn") == []
    assert lacking("demo", "sklearn") == ""
    need("demo", "sklearn")
    with pytest.raises(InputError) as caught:
        need("caffe")
    assert str(caught.value) == 'Caffe\'s files need protobuf: pip install "alexnet[caffe]"'
    said = machine._extras()
    assert said.level == "ok" and "scikit-image for the built-in photographs (alexnet[demo])" in said.what
    assert "demo" in said.fix and "caffe" in said.fix


def test_a_module_inside_of_what_is_not_there_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "odd", ("odd things", ("no_such_package.part",)))
    assert missing("odd") == ["no_such_package.part"]


WITHOUT = """
import pkgutil, sys
from importlib import import_module
import alexnet
from alexnet.extras import EXTRAS

for name in ("triton", *(name for _, modules in EXTRAS.values() for name in modules)):
    sys.modules[name] = None  # as good as not installed
for module in pkgutil.walk_packages(alexnet.__path__, "alexnet."):
    if module.name == "alexnet.__main__":
        continue
    try:
        import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name)
"""

BEHIND = {
    # Modules that are imported only where their package is there.
    "alexnet.bf16": "numba",
    "alexnet.data.compiled": "numba",
    "alexnet.data.gpu": "triton",
    "alexnet.exchange.onnx_write": "onnx",
    "alexnet.explore.answers": "fastapi",
    "alexnet.explore.export": "fastapi",
    "alexnet.explore.server": "uvicorn",
    "alexnet.insight.report": "jinja2",
    "alexnet.network.cpu": "numba",
    "alexnet.network.gpu": "triton",
    "alexnet.network.gpu_kernels": "triton",
    "alexnet.training.cpu": "numba",
    "alexnet.training.gpu": "triton",
}


def test_modules_can_be_imported_without_any_optional_package() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert dict(line.split() for line in done.stdout.splitlines()) == BEHIND
