"""What results say of the code and the machine they come from."""

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import alexnet
from alexnet import provenance


def test_outside_a_checkout_the_environment_names_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.delenv("ALEXNET_COMMIT", raising=False)
    assert provenance.commit() == "unknown"
    monkeypatch.setenv("ALEXNET_COMMIT", "0123abc")
    assert provenance.commit() == "0123abc"


def test_sources_that_are_not_installed_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert provenance.version() == alexnet.__version__
    monkeypatch.setattr(metadata, "version", not_installed)
    assert provenance.version() == "unknown"


def test_in_a_checkout_git_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "provenance.py"
    file.write_text("")
    figures = tmp_path / "benchmarks" / "results" / "speed.json"
    figures.parent.mkdir(parents=True)
    figures.write_text("1")
    own = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*own, *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(file))
    monkeypatch.setenv("ALEXNET_COMMIT", "0123abc")
    here = provenance.commit()
    assert len(here) >= 7 and here not in ("0123abc", "unknown")
    figures.write_text("2")
    assert provenance.commit() == here, "of the same code"
    file.write_text("changed")
    assert provenance.commit() == f"{here}-dirty"
