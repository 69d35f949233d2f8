"""A network of the Hugging Face hub stands for a network file; what the hub refuses is one line with the fix."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import alexnet
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.run import hub as hubs
from alexnet.run import locate
from alexnet.run.locate import public_name

huggingface_hub = pytest.importorskip("huggingface_hub")

from huggingface_hub import errors  # noqa: E402

from tests.hub import FUNCTIONS, Hub, answer, drift  # noqa: E402

NAME = "someone/photos"


@pytest.fixture
def kept(hub: Hub, tiny_file: Path) -> Hub:
    """A hub with the tiny network in a repository, as its branch and its tag."""
    content = {"model.safetensors": tiny_file.read_bytes()}
    hub.put(NAME, content)
    hub.put(NAME, content, "v1")
    hub.put(NAME, {"other": b""}, "empty")
    return hub


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_takes_what_the_installed_function_takes(name: str, tmp_path: Path) -> None:
    assert drift(getattr(Hub(tmp_path), name), getattr(huggingface_hub, name)) == []


def test_a_stand_in_that_drifts_is_told() -> None:
    def stand_in(repo_id: str, other: int, *, revision: str = "main") -> None: ...

    assert len(drift(stand_in, huggingface_hub.hf_hub_download)) == 3


def test_a_name_of_the_hub_answers_as_its_file(kept: Hub, tiny_file: Path, tiny_prepared: Prepared) -> None:
    images = tiny_prepared.split("train").images[:9]
    wanted = alexnet.load(tiny_file).probabilities(images)
    commit = kept.branches[NAME]["main"]
    for given in (f"hf:{NAME}", f"hf:{NAME}@v1", f"hf:{NAME}@{commit}", Path(f"hf:{NAME}")):
        assert torch.equal(alexnet.load(given).probabilities(images), wanted)
        assert locate.is_network_file(given)
    for revision in (None, "v1", commit):
        for name in (NAME, f"hf:{NAME}"):
            assert torch.equal(alexnet.from_pretrained(name, revision).probabilities(images), wanted)


def test_commands_take_it(
    kept: Hub, tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = str(next((tiny_prepared.path.parent / "pictures").rglob("*.png")))
    out, again, data = str(tmp_path / "tuned"), str(tmp_path / "again"), str(tiny_prepared.path)
    for command in (
        ["predict", f"hf:{NAME}", photograph],
        ["kernels", f"hf:{NAME}@v1", str(tmp_path / "k.svg")],
        ["doctor", f"hf:{NAME}"],
        ["import", f"hf:{NAME}", "--out", again],
        ["train", "--from", f"hf:{NAME}", "--data", data, "--out", out, "--epochs", "1", "--device", "cpu"],
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert main(["evaluate", f"hf:{NAME}"]) == 2
    assert f"alexnet import hf:{NAME} --out RUN" in capsys.readouterr().err


def test_a_folder_with_its_files_is_as_good(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(tiny_file.read_bytes())
    assert alexnet.from_pretrained(tmp_path).classes == alexnet.from_pretrained(str(tmp_path)).classes
    with pytest.raises(InputError, match=r"has no revision v1; leave that out"):
        alexnet.from_pretrained(tmp_path, "v1")
    with pytest.raises(InputError, match=r"no model\.safetensors in it.*a run folder is for alexnet\.load"):
        alexnet.from_pretrained(tiny_run)


@pytest.mark.parametrize("name", ["photos", "a/b/c", "a/b@", "a/b@v 1", "/b", "a/", "a b/c", "a/b;c", "", "./a/b"])
def test_what_is_no_name_is_refused_and_nothing_asked(name: str, hub: Hub) -> None:
    hub.refusal = AssertionError("it was asked")
    with pytest.raises(InputError, match="write OWNER/NAME, or OWNER/NAME@REVISION") as raised:
        alexnet.load(f"hf:{name}")
    assert str(raised.value).startswith(f"hf:{name}: ")


def nothing_cached(cause: Exception) -> errors.LocalEntryNotFoundError:
    """What huggingface_hub raises where it has no answer and no copy."""
    error = errors.LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("given", "refusal", "message"),
    [
        ("no/such", None, r"no such repository, or a private one.*hf auth login, or a token in HF_TOKEN"),
        (f"{NAME}@v9", None, r"someone/photos has no such branch, tag or commit"),
        (f"{NAME}@empty", None, r"no model\.safetensors in it, the network file that alexnet push writes"),
        (NAME, answer(errors.GatedRepoError, 403), "asks for consent.*hf auth login"),
        (NAME, answer(errors.HfHubHTTPError, 401), r"the hub refuses it \(401\); log in"),
        (NAME, nothing_cached(answer(errors.HfHubHTTPError, 403)), r"the hub refuses it \(403\); log in"),
        (NAME, nothing_cached(ConnectionError("refused")), "the hub cannot be reached, and its cache has no copy"),
        (NAME, nothing_cached(errors.OfflineModeIsEnabled("off")), "HF_HUB_OFFLINE is set, and the hub's cache"),
        (NAME, answer(errors.HfHubHTTPError, 500), "could not do it .500 Client Error. something of several lines"),
        (NAME, errors.HFValidationError("Cannot have -- or .. in repo_id"), "Cannot have -- or"),
        (NAME, RuntimeError(), "could not do it .RuntimeError.; mend that, or see to the connection"),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_the_fix(
    given: str, refusal: Exception | None, message: str, kept: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.refusal = refusal
    with pytest.raises(InputError, match=rf"^hf:{given}: .*{message}") as raised:
        alexnet.load(f"hf:{given}")
    assert "\n" not in str(raised.value)
    assert main(["doctor", f"hf:{given}"]) == main(["kernels", f"hf:{given}", "k.svg"]) == 2
    assert f"alexnet kernels: {raised.value}" in capsys.readouterr().err


def test_no_memory_and_no_room_are_not_the_hubs_fault(kept: Hub) -> None:
    for refusal in (MemoryError(), OSError(28, "No space left on device")):
        kept.refusal = refusal
        with pytest.raises(type(refusal)):
            alexnet.load(f"hf:{NAME}")


def test_a_file_too_large_for_a_network_is_not_downloaded(kept: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST", 1000)
    asked: list[Any] = []
    real = kept.hf_hub_download
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *args, **more: asked.append(more) or real(*args, **more)
    )
    with pytest.raises(InputError, match=r"its model\.safetensors has .* bytes, a network file at most 1,000"):
        alexnet.load(f"hf:{NAME}")
    assert [more["dry_run"] for more in asked] == [True]


def test_another_librarys_file_is_no_network(hub: Hub, tmp_path: Path) -> None:
    from safetensors.torch import save

    hub.put(NAME, {"model.safetensors": save({"weight": torch.zeros(3)})})
    with pytest.raises(InputError, match="no network file of alexnet export RUN alexnet"):
        alexnet.load(f"hf:{NAME}")


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r'huggingface_hub: pip install "alexnet\[hub\]"'):
        alexnet.load(f"hf:{NAME}")


def test_a_start_is_called_by_what_others_may_read(tmp_path: Path) -> None:
    assert public_name("starter") == "starter"
    assert public_name(Path("hf:someone/photos@v1")) == "hf:someone/photos@v1"
    assert (
        public_name(Path("https://host/network.safetensors#sha256=00")) == "https://host/network.safetensors#sha256=00"
    )
    assert public_name(tmp_path / "runs" / "photos") == "photos", "no folder of this machine"
