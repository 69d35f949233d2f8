"""The loop: what it learns, writes, refuses and survives."""

import errno
import gc
import json
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet import provenance
from alexnet.data.augment import Augmentation
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed
from alexnet.network.model import AlexNet
from alexnet.run import checkpoint, growth, metrics, trained
from alexnet.run.images import training_of, validation_of
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, seed_of
from alexnet.run.recipe import read as read_recipe
from alexnet.run.schedule import Schedule
from alexnet.training import Status, loop, train
from alexnet.training.rule import PaperSGD
from alexnet.training.step import Batch, Step
from tests.conftest import CLASSES, IMAGES_PER_CLASS, SIZE

HELD_OUT = IMAGES_PER_CLASS // 4 * len(CLASSES)  # tiny_recipe holds out a quarter
TRAINED_ON = IMAGES_PER_CLASS * len(CLASSES) - HELD_OUT


def weights(run: Path) -> dict[str, Tensor]:
    return checkpoint.weights(checkpoint.newest(run))


def epochs(run: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(run) if line["kind"] == "epoch"]


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# ---------------------------------------------------------------- what it learns


def test_a_tiny_run_learns(tiny_run: Path) -> None:
    lines = epochs(tiny_run)
    assert len(lines) == 12
    assert lines[0]["loss"] > 1.2  # ln(4) is 1.386
    assert lines[-1]["loss"] < 0.7
    assert lines[-1]["validation_top1"] <= 35.0  # chance is 75%
    assert lines[-1]["train_error"] <= 35.0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(replace(one_epoch, seed=seed), tiny_prepared, tmp_path / name)
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not equal(weights(tmp_path / "a"), weights(tmp_path / "c"))
    assert epochs(tmp_path / "a")[0]["loss"] == epochs(tmp_path / "b")[0]["loss"]


@pytest.mark.parametrize("micro_batch", [1, 5, 16, 100])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    micro_batch: int, tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_dropout = replace(one_epoch, network=replace(one_epoch.network, dropout=0.0), precision="float32")
    train(without_dropout, tiny_prepared, tmp_path / "whole")
    largest = 0
    plain = torch.nn.functional.cross_entropy

    def seen(logits: Tensor, *others: Any, **more: Any) -> Tensor:
        nonlocal largest
        largest = max(largest, len(logits))
        return plain(logits, *others, **more)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", seen)
    train(replace(without_dropout, micro_batch=micro_batch), tiny_prepared, tmp_path / "parts")
    assert largest == min(micro_batch, one_epoch.batch)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-5)
    start = checkpoint.weights(sorted((tmp_path / "whole" / "checkpoints").iterdir())[0])
    assert not torch.allclose(start["conv1.weight"], one["conv1.weight"], rtol=1e-3, atol=1e-5)  # it did move


def test_batch_normalization_with_a_last_batch_of_one(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    batchnorm = replace(one_epoch, network=replace(one_epoch.network, normalization="batch"), batch=TRAINED_ON - 1)
    train(batchnorm, tiny_prepared, tmp_path)
    assert checkpoint.newest(tmp_path).name == "step-00000002"
    assert weights(tmp_path)["norm1.num_batches_tracked"] == 2
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path).values())


def test_bf16_keeps_weights_in_float32(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    for precision in ("bf16", "float32"):
        train(replace(one_epoch, precision=precision), tiny_prepared, tmp_path / precision)  # type: ignore[arg-type]
    assert {tensor.dtype for tensor in weights(tmp_path / "bf16").values()} == {torch.float32}
    assert not equal(weights(tmp_path / "bf16"), weights(tmp_path / "float32"))
    assert epochs(tmp_path / "bf16")[0]["loss"] == pytest.approx(epochs(tmp_path / "float32")[0]["loss"], rel=0.05)


def test_a_run_leaves_nothing_in_the_memory_of_its_device(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[weakref.ref] = []

    class Watched(Step):
        def __call__(self, batch: Batch) -> None:
            super().__call__(batch)
            left.extend(map(weakref.ref, (self, *self.leaves.values())))

    def watched(*given: Any) -> Any:
        there = resident(*given)
        left.append(weakref.ref(there.images))
        return there

    resident = loop.loader.resident
    monkeypatch.setattr(loop.loader, "resident", watched)
    monkeypatch.setattr(loop, "Step", Watched)
    gc.disable()  # it would come too late for the next run
    try:
        for name in ("first", "second"):  # after the first, what torch imports late still has hold of its weights
            left.clear()
            train(replace(one_epoch, resident="yes"), tiny_prepared, tmp_path / name)
        assert left and not any(each() is not None for each in left)
    finally:
        gc.enable()


def test_images_that_are_held_out_are_on_the_device_once(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = []
    plain = loop.loader.resident
    monkeypatch.setattr(loop.loader, "resident", lambda *given: brought.append(given) or plain(*given))
    kept = train(replace(one_epoch, resident="yes"), tiny_prepared, tmp_path / "there")
    assert len(brought) == 1
    read = train(replace(one_epoch, resident="no"), tiny_prepared, tmp_path / "read")
    assert kept.last["validation_top1"] == read.last["validation_top1"]


def test_larger_prepared_images_are_brought_to_the_recipe_s_size(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    smaller = replace(one_epoch, image_size=24, network=replace(one_epoch.network, input_size=20))
    train(smaller, tiny_prepared, tmp_path)
    loaded = trained.load(tmp_path)
    assert loaded.size == SIZE and loaded.mean.shape == (24, 24, 3)
    images = tiny_prepared.split("train").images[:3]
    assert loaded.prepare(images).shape == (3, 3, 20, 20)
    assert loaded.probabilities(images, 10).shape == (3, 4)


# ---------------------------------------------------------------- which images


def test_the_held_out_share_is_disjoint_stated_seeded_and_per_class(
    tiny_prepared: Prepared, tiny_recipe: Recipe
) -> None:
    labels = tiny_prepared.split("train").labels
    split, held = validation_of(tiny_recipe, tiny_prepared)
    used = training_of(tiny_recipe, tiny_prepared)[1]
    assert split.name == "train"
    assert sorted([*held, *used]) == list(range(len(labels)))
    assert np.bincount(labels[held]).tolist() == [IMAGES_PER_CLASS // 4] * len(CLASSES)
    again = validation_of(replace(tiny_recipe, seed=99), tiny_prepared)[1]
    assert held.tolist() == again.tolist()  # another run has the same validation images
    other = validation_of(replace(tiny_recipe, hold_out_seed=1), tiny_prepared)[1]
    assert held.tolist() != other.tolist()


def test_each_training_image_once_an_epoch_in_another_order(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    plain = loop.read_ahead

    def recorded(images: Any, labels: Any, batches: list[np.ndarray], *others: Any) -> Iterator[tuple[Tensor, Tensor]]:
        read.append([int(index) for batch in batches for index in batch])
        return plain(images, labels, batches, *others)

    monkeypatch.setattr(loop, "read_ahead", recorded)
    train(replace(tiny_recipe, epochs=3), tiny_prepared, tmp_path)
    used = training_of(tiny_recipe, tiny_prepared)[1].tolist()
    assert len(used) == TRAINED_ON
    assert [sorted(epoch) for epoch in read] == [used] * 3
    assert read[0] != read[1] != read[2] != read[0]


def test_a_validation_split_is_used_where_there_is_one(
    tiny_prepared: Prepared, with_validation: Prepared, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("val", "test"):
        two = Prepared(with_validation.path, json.loads(json.dumps(with_validation.manifest)))
        two.splits = ("train", name)
        monkeypatch.setattr(two, "split", lambda wanted: with_validation.split("train"))
        split, indices = validation_of(tiny_recipe, two)
        assert len(indices) == len(split.labels) == 24
        assert training_of(tiny_recipe, two)[1].tolist() == list(range(24))


# ---------------------------------------------------------------- rates


def test_the_recorded_schedule_freezes_conv1_and_turns_the_colour_noise_off(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours: list[str] = []
    plain = loop.training_batch

    def recorded(images: Tensor, preparation: Any, settings: Augmentation, *others: Any) -> Tensor:
        colours.append(settings.colour)
        return plain(images, preparation, settings, *others)

    monkeypatch.setattr(loop, "training_batch", recorded)
    noisy = replace(
        tiny_recipe,
        epochs=10,
        batch=TRAINED_ON,
        keep=11,
        bias_rate=2.0,
        schedule=Schedule("recorded-2012"),
        augmentation=Augmentation(colour="authors-2012"),
    )
    train(noisy, tiny_prepared, tmp_path)
    assert colours == ["authors-2012"] * 8 + ["none"] * 2  # epoch 67 of 91 is 7.4 of 10
    assert [line["rate"] for line in epochs(tmp_path)] == pytest.approx(
        [0.005] * 3 + [0.0005] * 3 + [0.00005] * 3 + [0.000005]
    )
    rates = {
        (group["place"], group["kind"]): group["lr"]
        for group in torch.load(checkpoint.newest(tmp_path) / "state.pt", weights_only=True)["optimizer"][
            "param_groups"
        ]
    }
    assert rates["first", "weights"] == rates["first", "biases"] == 0.0
    assert rates["middle", "weights"] == pytest.approx(0.000005) and rates["middle", "biases"] == pytest.approx(0.001)


def test_a_plateau_ends_a_run_early(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    hopeless = replace(
        tiny_recipe, rate=1e-9, epochs=50, schedule=Schedule("plateau", times=1, patience=1), batch=TRAINED_ON
    )
    outcome = train(hopeless, tiny_prepared, tmp_path)
    assert outcome.finished and outcome.epochs == 3  # one to measure, one to drop, one to end
    assert [line["rate"] for line in epochs(tmp_path)] == pytest.approx([1e-9, 1e-9, 1e-10])
    again = train(hopeless, tiny_prepared, tmp_path, resume=True, stop=lambda: True)
    assert again.finished and again.epochs == 3


def test_early_stopping_counts_validations_and_survives_a_resume(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    hopeless = replace(tiny_recipe, rate=1e-9, epochs=50, batch=TRAINED_ON, validate_every=2, stop_after=3)
    one = train(hopeless, tiny_prepared, tmp_path / "one")
    assert one.finished and one.epochs == 8  # validated after 2, 4, 6 and 8: the first is the lowest
    for _ in range(9):
        stopped = train(
            hopeless, tiny_prepared, tmp_path / "two", resume=(tmp_path / "two").exists(), stop=lambda: True
        )
    assert stopped.finished and stopped.epochs == 8


# ---------------------------------------------------------------- failing runs


def test_a_loss_that_is_nan_fails_with_advice_and_leaves_the_checkpoint_before(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    often = replace(tiny_recipe, rate=1e9, checkpoint_minutes=0.0)
    with pytest.raises(
        RunFailed, match=r"(loss|weights) became .* at step \d+ \(epoch 1\)\. Lower the rate \(--rate 1e\+08\).*step-"
    ):
        train(often, tiny_prepared, tmp_path)
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path).values())
    assert epochs(tmp_path) == []


@pytest.mark.parametrize(("step", "stop_at"), [(5, 99), (3, 3), (10, 99)])
def test_an_update_that_spoils_the_weights_never_becomes_a_checkpoint(
    step: int,
    stop_at: int,
    tiny_prepared: Prepared,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, done = PaperSGD.step, 0

    def spoiled(self: PaperSGD, closure: None = None) -> None:
        nonlocal done
        plain(self, closure)
        done += 1
        if done == step:  # the loss of this step was fine
            with torch.no_grad():
                self.param_groups[0]["params"][0][0, 0, 0, 0] = float("nan")

    monkeypatch.setattr(PaperSGD, "step", spoiled)
    with pytest.raises(RunFailed, match=f"weights became infinite or NaN at step {step} .*Lower the rate"):
        train(tiny_recipe, tiny_prepared, tmp_path, stop=lambda: done >= stop_at)
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path).values())
    assert len(epochs(tmp_path)) == (step - 1) // 5
    monkeypatch.setattr(PaperSGD, "step", plain)
    assert train(tiny_recipe, tiny_prepared, tmp_path, resume=True).finished


def test_a_device_without_memory_fails_with_advice(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PaperSGD, "step", full)
    with pytest.raises(RunFailed, match="cpu: out of memory. --micro-batch 8 passes fewer"):
        train(tiny_recipe, tiny_prepared, tmp_path)


def test_a_loss_stuck_at_chance_fails_with_advice(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    stuck = replace(tiny_recipe, rate=1e-9, stuck_steps=8)
    with pytest.raises(
        RunFailed, match=r"after 10 steps the loss is still 1\.\d+, and ln\(4\) = 1\.3863.*--stuck-steps 0"
    ):
        train(stuck, tiny_prepared, tmp_path)
    assert checkpoint.newest(tmp_path).name == "step-00000010"
    assert len(epochs(tmp_path)) == 2
    assert math.isclose(epochs(tmp_path)[-1]["loss"], math.log(4), rel_tol=0.05)


def test_the_check_for_a_stuck_loss_can_be_turned_off_and_spares_a_run_that_learns(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    assert train(replace(tiny_recipe, rate=1e-9, stuck_steps=0), tiny_prepared, tmp_path / "off").finished
    assert train(replace(tiny_recipe, stuck_steps=15), tiny_prepared, tmp_path / "learns").finished


def test_a_disk_that_is_full_in_the_middle_loses_nothing(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_recipe, tiny_prepared, tmp_path / "never")
    plain, saves = torch.save, 0

    def full(*what: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 3:  # the end of the second epoch
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(*what)

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(RunFailed, match="No space left.*step-00000005.*--resume"):
            train(tiny_recipe, tiny_prepared, run)
    train(tiny_recipe, tiny_prepared, run, resume=True)
    assert equal(weights(run), weights(tmp_path / "never"))
    assert [line["epoch"] for line in epochs(run)] == [1, 2, 3, 4]


def test_a_log_that_cannot_be_written_fails_the_run_and_says_how_to_go_on(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, kind: str, **values: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(metrics.Log, "write", full)
    with pytest.raises(RunFailed, match="No space left.*step-00000000.*--resume"):
        train(one_epoch, tiny_prepared, tmp_path)


# ---------------------------------------------------------------- what it writes


def test_the_run_folder(tiny_run: Path, tiny_prepared: Prepared) -> None:
    assert {
        "recipe.json",
        "metrics.jsonl",
        "classes.json",
        "data.json",
        "preparation",
        "checkpoints",
        "tensorboard",
    } <= {path.name for path in tiny_run.iterdir()}
    assert json.loads((tiny_run / "classes.json").read_text()) == list(CLASSES)
    assert (tiny_run / "preparation" / "mean.npy").read_bytes() == (tiny_prepared.path / "mean.npy").read_bytes()
    assert read_recipe(tiny_run).epochs == 12
    assert not [path for path in tiny_run.rglob("*") if path.name.startswith(".")]


def test_the_kernels_of_every_epoch_are_kept(tiny_run: Path, tiny_prepared: Prepared, tiny_recipe: Recipe) -> None:
    assert growth.epochs(tiny_run) == list(range(13))
    assert not np.array_equal(growth.read(tiny_run, 3), growth.read(tiny_run, 4))
    assert np.array_equal(growth.read(tiny_run, 12), weights(tiny_run)["conv1.weight"])
    torch.manual_seed(seed_of(tiny_recipe.seed, "init", 0))
    assert np.array_equal(growth.read(tiny_run, 0), AlexNet(tiny_recipe.network).conv1.weight.detach())


def test_kernels_that_are_not_there_and_damaged_ones(tmp_path: Path) -> None:
    assert growth.epochs(tmp_path) == []
    with pytest.raises(InputError, match="keeps no kernels of epoch 3"):
        growth.read(tmp_path, 3)
    growth.keep(tmp_path, 3, torch.zeros(2, 3, 5, 5))
    assert growth.read(tmp_path, 3).shape == (2, 3, 5, 5)
    growth.keep(tmp_path, 3, torch.zeros(2))
    with pytest.raises(InputError, match="epoch-00003.npy: float32 \\[2\\], no kernels"):
        growth.read(tmp_path, 3)


def test_the_lines_of_the_metrics(tiny_run: Path) -> None:
    start, *others = read_metrics(tiny_run)
    assert start["kind"] == "start"
    assert (start["images"], start["validation_images"], start["device"]) == (TRAINED_ON, HELD_OUT, "cpu")
    assert (start["commit"], start["cpu"]) == (provenance.commit(), provenance.processor())
    lines = [line for line in others if line["kind"] == "epoch"]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert [line["step"] for line in lines] == list(range(5, 61, 5))
    for line in lines:
        assert set(line) == {
            *("kind", "epoch", "step", "loss", "train_error", "validation_top1", "validation_top5"),
            *("rate", "images_per_second", "seconds", "time"),
        }
        assert line["images_per_second"] * line["seconds"] == pytest.approx(TRAINED_ON)
        assert line["validation_top5"] == 0.0  # four classes
    steps = [line for line in others if line["kind"] == "step"]
    assert [line["step"] for line in steps] == [20, 40, 60]
    assert all({"epoch", "loss", "error", "rate"} <= set(line) for line in steps)


def test_validation_now_and_then_and_at_the_end(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    train(replace(tiny_recipe, epochs=5, validate_every=2), tiny_prepared, tmp_path)
    assert ["validation_top1" in line for line in epochs(tmp_path)] == [False, True, False, True, True]


def test_the_same_numbers_as_tensorboard_events(tiny_run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tiny_run / "tensorboard"))
    events.Reload()
    lines = epochs(tiny_run)
    for name in ("loss", "train_error", "validation_top1", "validation_top5", "rate", "images_per_second"):
        results = events.Scalars(f"epoch/{name}")
        assert [event.step for event in results] == [line["step"] for line in lines]
        assert [event.value for event in results] == pytest.approx([line[name] for line in lines], rel=1e-6)
    assert [event.step for event in events.Scalars("step/loss")] == [20, 40, 60]


def test_live_progress(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    seen: list[Status] = []
    train(replace(tiny_recipe, epochs=2), tiny_prepared, tmp_path, progress=seen.append)
    steps = (1, 2, 3, 4, 5, 5)  # the fifth again when the epoch's validation is over
    assert [(now.epoch, now.step) for now in seen] == [(epoch, step) for epoch in (1, 2) for step in steps]
    assert [now.ended for now in seen] == ([False] * 5 + [True]) * 2
    assert {(now.epochs, now.steps, now.rate) for now in seen} == {(2, 5, 0.005)}
    assert [now.validation is None for now in seen] == [True] * 5 + [False] * 7
    assert [now.validation for now in seen if now.ended] == [line["validation_top1"] for line in epochs(tmp_path)]
    assert seen[-1].seconds_left == 0.0 < seen[0].seconds_left
    assert seen[-1].loss == epochs(tmp_path)[-1]["loss"] and seen[-1].error == epochs(tmp_path)[-1]["train_error"]


def test_a_resumed_run_knows_its_last_validation(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    seen: list[Status] = []
    train(replace(tiny_recipe, epochs=2), tiny_prepared, tmp_path, progress=seen.append, stop=lambda: len(seen) > 5)
    seen.clear()
    train(replace(tiny_recipe, epochs=2), tiny_prepared, tmp_path, resume=True, progress=seen.append)
    assert seen[0].epoch == 2 and seen[0].validation == epochs(tmp_path)[0]["validation_top1"]


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_bytes(b'{"kind": "start"}\n[1]\n{"a": 1}\n\xff\xff\n{"kind": "epoch", "epo')
    assert read_metrics(tmp_path) == [{"kind": "start"}]


def test_the_picture_set_is_what_these_tests_say(tiny_prepared: Prepared) -> None:
    assert tiny_prepared.size == SIZE and tiny_prepared.classes == CLASSES
    assert len(tiny_prepared.split("train").labels) == TRAINED_ON + HELD_OUT


def test_seeds_differ_by_purpose_and_number() -> None:
    seeds = {
        seed_of(seed, purpose, number) for seed in (0, 1) for purpose in ("batch", "order") for number in (0, 1, 10)
    }
    assert len(seeds) == 12 and all(0 <= seed < 2**63 for seed in seeds)


def test_the_rate_rises_step_by_step_and_then_is_the_schedules(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    # Goyal et al. 2017: from the rate of the small batch to that of the large one, here in 1.4 epochs of 5 steps.
    rates: list[float] = []
    warm = replace(tiny_recipe, epochs=2, schedule=Schedule("constant"), base_batch=8, warmup_epochs=1.4, rate=0.002)
    train(warm, tiny_prepared, tmp_path / "run", progress=lambda now: None if now.ended else rates.append(now.rate))
    expected = [0.002 + 0.002 * step / 7 for step in range(7)] + [0.004] * 3
    assert rates == pytest.approx(expected)

    # Resumed within the warm-up, it goes on rising from where it was.
    again: list[float] = []
    stop = iter([False] * 2 + [True] * 3)
    train(warm, tiny_prepared, tmp_path / "again", stop=lambda: next(stop))
    progress = lambda now: None if now.ended else again.append(now.rate)  # noqa: E731
    train(warm, tiny_prepared, tmp_path / "again", resume=True, progress=progress)
    assert again == pytest.approx(expected[3:])
    weights = [checkpoint.weights(checkpoint.newest(tmp_path / name)) for name in ("run", "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
