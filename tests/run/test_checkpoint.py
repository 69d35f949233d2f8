"""A checkpoint is whole or not there, and no failure costs an earlier one."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from alexnet.errors import InputError, RunFailed
from alexnet.run import checkpoint
from alexnet.run.checkpoint import Progress
from alexnet.run.schedule import Plateau
from alexnet.training.rule import PaperSGD, groups


def model_and_optimizer(seed: int = 0) -> tuple[nn.Module, PaperSGD]:
    """A small module after one step, so that there are velocities."""
    torch.manual_seed(seed)
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    model.add_module("norm1", nn.BatchNorm2d(4))
    optimizer = PaperSGD(groups(model, "fc8", 0.0005, False))
    model(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def velocities(optimizer: PaperSGD) -> list[torch.Tensor]:
    return [optimizer.state[p]["v"] for group in optimizer.param_groups for p in group["params"]]


def save(run: Path, step: int, keep: int = 2, seed: int = 0) -> Path:
    return checkpoint.save(run, *(each.state_dict() for each in model_and_optimizer(seed)), Progress(step=step), keep)


def names(run: Path) -> list[str]:
    """Everything in the folder of checkpoints, hidden things too."""
    return sorted(os.listdir(run / "checkpoints"))


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    progress = Progress(3, 2, 17, 128, 1.2345, 7, 4.5, 0.5, Plateau(best=41.5, since=2, drops=1))
    optimizer.param_groups[0]["lr"] = 0.123
    path = checkpoint.save(tmp_path, model.state_dict(), optimizer.state_dict(), progress, keep=2)
    assert path.name == "step-00000017" and checkpoint.newest(tmp_path) == path

    other, other_optimizer = model_and_optimizer(seed=1)
    checkpoint.load_weights(other, path)
    assert checkpoint.load_state(path, other_optimizer) == progress
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
        assert other.state_dict()[name].stride() == tensor.stride()  # channels last stays so
    for ours, reference in zip(velocities(optimizer), velocities(other_optimizer), strict=True):
        assert torch.equal(ours, reference)
    assert other_optimizer.param_groups[0]["lr"] == 0.123
    assert [g["place"] for g in other_optimizer.param_groups] == [g["place"] for g in optimizer.param_groups]


def test_weights_are_safetensors_and_the_rest_loads_with_weights_only(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    assert set(load_file(path / "weights.safetensors")) == set(model_and_optimizer()[0].state_dict())
    state = torch.load(path / "state.pt", weights_only=True)
    assert state["format"] == 1 and state["progress"]["step"] == 5
    json.dumps(state["progress"])  # plain values


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    for step in range(1, 6):
        save(tmp_path, step, keep)
    assert names(tmp_path) == [f"step-{step:08d}" for step in range(6 - keep, 6)]


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    for step in (9, 10, 99999, 100000):
        save(tmp_path, step, keep=9)
    assert checkpoint.newest(tmp_path).name == "step-00100000"


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 4, seed=1)
    path = save(tmp_path, 4, seed=2)
    assert names(tmp_path) == ["step-00000004"]
    model, _ = model_and_optimizer(seed=2)
    assert torch.equal(checkpoint.weights(path)["conv1.weight"], model.state_dict()["conv1.weight"])


def test_what_killed_processes_left_is_ignored_and_then_removed(tmp_path: Path) -> None:
    folder = save(tmp_path, 4).parent
    for name in (".step-00000009.77.new", ".step-00000002.78.old"):
        shutil.copytree(folder / "step-00000004", folder / name)
    assert checkpoint.newest(tmp_path).name == "step-00000004"
    save(tmp_path, 5)
    assert [name for name in names(tmp_path) if name.startswith(".")] == []
    assert checkpoint.newest(tmp_path).name == "step-00000005"


@pytest.mark.parametrize("missing", ["weights.safetensors", "state.pt"])
def test_a_newest_checkpoint_that_lacks_a_file_is_no_reason_to_take_an_older_one(missing: str, tmp_path: Path) -> None:
    save(tmp_path, 4)
    (save(tmp_path, 8) / missing).unlink()
    with pytest.raises(InputError, match=r"step-00000008: .* is missing; remove .*from the one before, step-00000004"):
        checkpoint.newest(tmp_path)


def test_weights_that_are_whole_numbers_are_refused(tmp_path: Path) -> None:
    path, (model, _) = save(tmp_path, 4), model_and_optimizer()
    weights = load_file(path / "weights.safetensors")
    save_file(weights | {"conv1.bias": weights["conv1.bias"].int()}, path / "weights.safetensors")
    with pytest.raises(InputError, match=r"conv1\.bias is of torch\.int32, the network's of torch\.float32"):
        checkpoint.load_weights(model, path)


def test_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    with pytest.raises(InputError, match="no checkpoint in .*alexnet train"):
        checkpoint.newest(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 5, b"{}" * 100, None])
def test_damaged_weights_say_which_file_and_what_to_do(tmp_path: Path, damage: bytes | None) -> None:
    path = save(tmp_path, 4)
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10] if damage is None else damage)
    with pytest.raises(InputError, match=r"weights\.safetensors.*remove that checkpoint"):
        checkpoint.load_weights(model_and_optimizer()[0], path)


@pytest.mark.parametrize("damage", [b"", b"damaged", b"\x80\x02}", None])
def test_a_damaged_state_says_which_file_and_what_to_do(tmp_path: Path, damage: bytes | None) -> None:
    path = save(tmp_path, 4)
    file = path / "state.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if damage is None else damage)
    with pytest.raises(InputError, match=r"state\.pt.*remove that checkpoint") as raised:
        checkpoint.load_state(path, model_and_optimizer()[1])
    assert "\n" not in str(raised.value)  # torch's own message is a page


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("unpickled",)


def test_a_state_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 4)
    torch.save({"format": 1, "optimizer": Evil()}, path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt"):
        checkpoint.load_state(path, model_and_optimizer()[1])
    assert not (tmp_path / "unpickled").exists()


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 4)
    torch.save({"format": 99}, path / "state.pt")
    with pytest.raises(InputError, match="format 99"):
        checkpoint.load_state(path, model_and_optimizer()[1])


def test_the_state_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 4)
    other = PaperSGD(groups(nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3)}), "fc8", 0.0005, False))
    with pytest.raises(InputError, match=r"state\.pt: not the state of this run.*remove that checkpoint"):
        checkpoint.load_state(path, other)
    torch.save(
        {"format": 1, "optimizer": model_and_optimizer()[1].state_dict(), "progress": {"epoch": 1}}, path / "state.pt"
    )
    with pytest.raises(InputError, match=r"state\.pt: not the state of this run \(progress without"):
        checkpoint.load_state(path, model_and_optimizer()[1])


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, 4)
    larger, more, fewer = nn.Sequential(), nn.Sequential(), nn.Sequential()
    larger.add_module("conv1", nn.Conv2d(3, 5, 3))
    more.add_module("conv2", nn.Conv2d(3, 4, 3))
    fewer.add_module("conv1", nn.Conv2d(3, 4, 3))
    with pytest.raises(InputError, match=r"conv1\.weight is \[4, 3, 3, 3\], the network's is \[5, 3, 3, 3\]"):
        checkpoint.load_weights(larger, path)
    with pytest.raises(InputError, match=r"no weights for conv2\.weight"):
        checkpoint.load_weights(more, path)
    with pytest.raises(InputError, match=r"norm1\.\S+ is not in the network"):
        checkpoint.load_weights(fewer, path)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["save_file", "torch.save", "os.fsync", "os.replace"])
def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = save(tmp_path, 4, keep=1)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(f"alexnet.run.checkpoint.{what}", full_disk)
        with pytest.raises(RunFailed, match=r"No space left.*step-00000004.*alexnet train --resume"):
            save(tmp_path, 5, keep=1)
    assert names(tmp_path) == ["step-00000004"]
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    save(tmp_path, 5, keep=1)
    assert names(tmp_path) == ["step-00000005"]


@pytest.mark.parametrize("free", [0, 100, 3000, 6000])
def test_a_really_full_disk(small_disk: Path, free: int) -> None:
    path = save(small_disk, 4, keep=1)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "fill").write_bytes(b"\0" * (room - free))
    with pytest.raises(RunFailed, match="could not be written.*step-00000004"):
        save(small_disk, 5, keep=1)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    (small_disk / "fill").unlink()
    save(small_disk, 5, keep=1)
    assert names(small_disk) == ["step-00000005"]
