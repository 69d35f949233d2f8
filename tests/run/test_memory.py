"""Too little memory ends in one line with what to do, before anything is written where that can be foreseen."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import cli
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed, out_of_memory
from alexnet.run import memory
from alexnet.run.recipe import Recipe
from alexnet.training import train

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA: nothing left"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: ..."
            ),
            True,
        ),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes do not fit"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RunFailed("cpu: out of memory. --micro-batch 8"), False),
        (InputError("out of memory"), False),
    ],
)
def test_what_says_that_there_is_no_memory(error: Exception, is_one: bool) -> None:
    assert out_of_memory(error) == is_one


def test_a_network_that_no_memory_holds_is_refused_before_anything_is_written(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All images of a batch at once do not fit, four do.
    whole, four = (memory.batch_memory(replace(tiny_recipe, micro_batch=size)) for size in (16, 4))
    assert four < whole
    monkeypatch.setattr(memory, "address_space_left", lambda: memory.LIBRARIES + four)
    with pytest.raises(RunFailed, match=r"\(ulimit -v\) leaves .*--micro-batch 4 passes fewer images"):
        train(tiny_recipe, tiny_prepared, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(memory, "address_space_left", lambda: 10_000)
    with pytest.raises(RunFailed, match="One image at a time would not fit either: give it more memory"):
        memory.check(tiny_recipe, CPU)
    monkeypatch.setattr(memory, "address_space_left", lambda: None)
    monkeypatch.setattr(memory, "memory_free", lambda: 10_000)
    with pytest.raises(RunFailed, match="a step takes at least .* are free"):
        memory.check(tiny_recipe, CPU)
    monkeypatch.setattr(memory, "memory_free", lambda: None)  # where it is not known
    memory.check(tiny_recipe, CPU)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(12, "")]
)
def test_running_out_in_training_gives_the_advice_that_a_gpu_s_does(
    error: Exception, tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("alexnet.training.loop.training_batch", none_left)
    with pytest.raises(RunFailed, match="cpu: out of memory. --micro-batch 8 passes fewer"):
        train(tiny_recipe, tiny_prepared, tmp_path)


def test_every_command_ends_in_one_line(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (MemoryError(), RuntimeError("could not create a primitive"), OSError(errno.ENOMEM, "no memory")):

        def none_left(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("alexnet.run.trained.load", none_left)
        assert cli.main(["predict", str(tiny_run), "photo.jpg"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("alexnet predict: out of memory; ") and said.count("\n") == 1


LIMITED = """
import sys
from dataclasses import replace
from pathlib import Path
import resource
from alexnet.data import prepared
from alexnet.errors import RunFailed
from alexnet.network.spec import Hidden
from alexnet.run import memory
from alexnet.run.recipe import Recipe
from alexnet.training import train

data, out = prepared.open(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe.from_json(Path(sys.argv[3]).read_text())
large = replace(recipe, network=replace(recipe.network, hidden=(Hidden(8192), Hidden(8192))))  # 268 MB
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 200_000_000,) * 2)
for run in (recipe, large):
    try:
        train(run, data, out)
    except RunFailed as error:
        print(error)
    memory.check = lambda *_: None  # as if nothing had been foreseen
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits are set and read as on Linux")
def test_within_a_limit_of_the_machine_s_own(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(tiny_recipe.to_json())
    arguments = [str(tiny_prepared.path), str(tmp_path / "run"), str(tmp_path / "recipe.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ALEXNET_COMPILED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, env=environment, check=True
    )
    foreseen, met = done.stdout.splitlines()
    assert "the limit on memory (ulimit -v) leaves 0.2" in foreseen
    assert met.startswith("cpu: out of memory. --micro-batch 8 ")


def test_a_step_takes_what_it_was_estimated_to_at_most(tiny_recipe: Recipe) -> None:
    least, most = (memory.batch_memory(tiny_recipe, held) for held in (0.5, 3))
    assert 0 < least < most
    assert np.isclose(
        memory.batch_memory(replace(tiny_recipe, micro_batch=1)),
        memory.batch_memory(tiny_recipe) - 15 * 4 * 3 * memory.activations_of(tiny_recipe.network)[0],
    )
