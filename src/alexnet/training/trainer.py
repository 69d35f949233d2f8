"""The loop: batches in, weights out, everything that happens written to the run folder (§5)."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data import batches
from alexnet.data.batches import Preparation, read_ahead, training_batch
from alexnet.data.prepared import Images, Prepared
from alexnet.device import keep_memory, low_precision, pick, precision_name
from alexnet.errors import InputError, RunFailed, out_of_memory
from alexnet.evaluation.errors import evaluate
from alexnet.fast import TRITON
from alexnet.files import no_room, only_writer, refused, why, write_text
from alexnet.network.model import AlexNet
from alexnet.network.spec import BOTTLENECK
from alexnet.processes import FailedElsewhere, FailedHere, Mode, Processes, job
from alexnet.reading import read_json
from alexnet.run import checkpoint, memory, schedule
from alexnet.run import recipe as recipes
from alexnet.run.checkpoint import Progress
from alexnet.run.images import check_fit, measured_on, training_of, validation_of
from alexnet.run.metrics import Log
from alexnet.run.recipe import Recipe
from alexnet.run.trained import classes_of, keep_preparation, preparation_of, statistics_of
from alexnet.training import rule
from alexnet.training.graph import Step

LOG_STEPS = 20
"""Steps between two looks at the loss: each one waits for the device."""

YOUNG = {"cuda": 20.0}
"""By kind of device, seconds: the end of an epoch writes no checkpoint as long as the last one is younger than this. On a GPU an
epoch of a small set takes less time than writing 61 million weights and their velocities."""


@dataclass(frozen=True)
class Status:
    """Where a run is, for live progress. Errors in percent, over the epoch so far; `validation` is the last one measured."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    error: float
    rate: float
    images_per_second: float
    seconds_left: float
    validation: float | None
    ended: bool = False
    """Whether the epoch is over, its validation too."""


@dataclass(frozen=True)
class Start:
    """What a call of `train` is about to do."""

    network: str
    classes: int
    device: str
    threads: int
    images: int
    validation: str
    """The split that measures the run: "val", "test", or "held out of train"."""
    validation_images: int
    steps: int
    """Updates of the weights in an epoch."""
    updates: int
    """Updates that are left."""
    done: int = 0
    """Updates done before, by an earlier call."""
    processes: int = 1
    parallel: str = "none"
    precision: str = "float32"
    """What the network computes in, with the part of the processor that does: "float32", "bf16", "bf16 by AMX"."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    run: Path
    epochs: int
    finished: bool
    """False if it was stopped before its last epoch; `alexnet train --resume` goes on."""
    last: dict[str, Any]
    """The last epoch's line of metrics.jsonl."""


def seed_of(seed: int, purpose: str, number: int) -> int:
    """A 63-bit seed for one purpose at one step; so a run's randomness at any step needs nothing that came before."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def train(
    recipe: Recipe,
    prepared: Prepared,
    run: Path,
    resume: bool = False,
    start_from: dict[str, Tensor] | None = None,
    progress: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    started: Callable[[Start], None] | None = None,
    processes: Processes = Processes(),
    parallel: Mode = "none",
) -> Outcome:
    """Train `recipe` on `prepared` into the folder `run`, or go on with the run that is there.

    start_from: weights by name to begin with, for fine-tuning; the last layer starts as the recipe says.
    stop: asked after every step; True saves a checkpoint and ends the call. On the CPU a run that was stopped or killed
    at any moment and resumed has the same weights, to the bit, as one that never was (by one process, or by two: the sums
    of more are taken in an order that a new start may change).
    processes, parallel: this process's place among those that train together, and how they do (`distributed.layout`); all
    call this with the same arguments. `recipe.batch` images are one update in all of them together, so that what is
    learned does not depend on their number but for the rounding of sums; nor do checkpoints, which any number goes on from.
    Raises InputError for a recipe that does not fit the data or a folder that is taken; RunFailed, with advice, for a
    loss that is NaN or stuck at ln(classes), or a disk that is full.
    """
    try:
        return _train(recipe, prepared, run, resume, start_from, progress, stop, started, processes, parallel)
    except (InputError, OSError, RunFailed) as error:
        by_all = isinstance(error, FailedElsewhere) or getattr(error, "by_all", False)
        if processes.number == 1 or by_all:
            raise
        raise FailedHere(f"process {processes.rank}: {error}") from error


def _train(
    recipe: Recipe,
    prepared: Prepared,
    run: Path,
    resume: bool,
    start_from: dict[str, Tensor] | None,
    progress: Callable[[Status], None] | None,
    stop: Callable[[], bool],
    started: Callable[[Start], None] | None,
    processes: Processes,
    parallel: Mode,
) -> Outcome:
    recipe = check_fit(recipe, prepared)
    check_parallel(recipe, parallel, processes.number)
    device = pick(processes.device(recipe.device))
    keep_memory()
    if processes.number == 1:
        memory.check(recipe, device)
    with memory.advice(recipe, device), ExitStack() as held:
        torch.manual_seed(seed_of(recipe.seed, "init", 0))
        with torch.device("meta") if resume else nullcontext():  # a checkpoint's weights get memory when they fit
            model = AlexNet(recipe.network)
        if start_from is not None and not resume:
            model.load_state_dict(_without_last(recipe, start_from, model.state_dict()), strict=False)
        preparation = preparation_of(prepared.mean, prepared.eigenvalues, prepared.eigenvectors, recipe).to(device)
        if resume:
            _check_same_data(run, prepared)
        else:
            processes.alone(lambda: _check_free(run))
        processes.alone(lambda: held.enter_context(only_writer(run, "alexnet train")))
        found = checkpoint.newest(run) if resume else None
        if found:
            checkpoint.load_weights(model, found)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shared = _Shared(model, recipe, processes, parallel)
        state = shared.load_state(found) if found else Progress()
        images = len(training_of(recipe, prepared)[1])
        if found:
            _check_progress(state, recipe, images, found)
        shared.check(state, images)
        if not found:
            whole = shared.whole()
            processes.alone(lambda: _begin(run, recipe, prepared, whole, state))
        try:
            if processes.first:
                checkpoint.tidy(run, recipe.keep)
            return _Loop(recipe, prepared, preparation, run, shared, state, device, progress, stop).go(started)
        except InputError as error:  # of the images
            raise InputError(f"{error}; then: alexnet train --resume {run}") from error
        except OSError as error:  # most likely a full disk
            if out_of_memory(error):
                raise
            what, fix = why(error)
            raise RunFailed(
                f"{error.filename or run}: {what}; the last whole checkpoint is {checkpoint.latest(run)}."
                f" {fix.capitalize()}, then: alexnet train --resume {run}"
            ) from error


def _check_free(run: Path) -> None:
    """Raise InputError unless `run` is a folder, made here if need be, that holds no run."""
    if (run / "recipe.json").exists():
        raise InputError(
            f"{run}: there is a run already; go on with alexnet train --resume {run}, or use another --out"
        )
    left = checkpoint.latest(run)
    # A run that was killed before it had a recipe leaves the checkpoint of step 0, which may be replaced.
    if left is not None and left.name != checkpoint.name_of(0):
        raise InputError(f"{run}: there are checkpoints, but no recipe.json; use another --out")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {refused(error, run)}") from None


def check_parallel(recipe: Recipe, parallel: Mode, number: int) -> None:
    """Raise InputError for what a recipe asks and `number` processes cannot do together in this way."""
    if parallel == "none" and number == 1:
        return
    from alexnet.training.distributed import check

    check(parallel, recipe.network, number)
    if recipe.compile:
        raise InputError(f"--compile with --parallel {parallel}: only one process compiles its steps; leave one out")
    if recipe.rule == "lars" and parallel != "data":
        raise InputError(
            f"--rule lars with --parallel {parallel}: its norms are of whole weights, of which each process has a part; use"
            " --parallel data"
        )


class _Shared:
    """A network and its optimizer in one process, or the part of both that this process of several has."""

    def __init__(self, model: AlexNet, recipe: Recipe, processes: Processes, parallel: Mode) -> None:
        self.processes, self.parallel, self.layout = processes, parallel, None
        self.model: nn.Module = model
        rule.freeze(model, recipe.freeze)
        if parallel != "none":
            from alexnet.training.distributed import layout

            self.layout = layout(parallel, model, processes)
            self.model = self.layout.module
        self.sgd = rule.optimizer_of(recipe, self.model)

    @property
    def replicated(self) -> bool:
        """Whether every process has the whole network, and can judge images that no other sees."""
        return self.layout is None or self.layout.replicated

    def rows(self, number: int) -> slice:
        """Which images of a batch this process reads."""
        return self.layout.rows(number) if self.layout else slice(0, number)

    def judged(self, number: int) -> slice:
        """Which images of a batch it computes the loss of."""
        return self.layout.judged(number) if self.layout else slice(0, number)

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """State of the whole network and of its optimizer, for a checkpoint. All processes have to call it."""
        weights, state = self.model.state_dict(), self.sgd.state_dict()
        if self.layout is None or self.layout.replicated:
            return weights, state
        names = self._names()
        v = self.layout.whole({names[at]: own["v"] for at, own in state["state"].items()})
        whole = {at: {"v": v[names[at]]} for at in state["state"]}
        return self.layout.whole(weights), {**state, "state": whole}

    def load_state(self, found: Path) -> Progress:
        """Velocities and counters of a checkpoint. Weights are loaded into the whole network, before it is shared."""

        def take(state: dict[str, Any]) -> dict[str, Any]:
            if self.layout is None or self.layout.replicated:
                return state
            names = self._names()
            v = self.layout.take({names[at]: whole["v"] for at, whole in state["state"].items()})
            return {**state, "state": {at: {"v": v[names[at]]} for at in state["state"]}}

        return checkpoint.load_state(found, self.sgd, take)

    def _names(self) -> list[str]:
        """Names of the parameters in the optimizer's order, by which its state is numbered."""
        name_of = {id(weight): name for name, weight in self.model.named_parameters()}
        return [name_of[id(weight)] for group in self.sgd.param_groups for weight in group["params"]]

    def check(self, state: Progress, images: int) -> None:
        """Raise InputError unless all processes see the same data and the same checkpoint."""
        for what, here in (("training images", images), ("steps done", state.step)):
            there = self.processes.agree(here)
            if self.processes.any(here != there):
                raise InputError(
                    f"--parallel {self.parallel}: the processes see different {what} (process 0: {there:,}); put the prepared"
                    " dataset and the run folder on storage that all machines share, and prepare before training"
                )


def _check_progress(state: Progress, recipe: Recipe, images: int, found: Path) -> None:
    """Raise InputError for counters that do not belong together, as they would mean other images than those seen so far."""
    steps = -(-images // recipe.batch)
    together = (
        state.step == state.epoch * steps + state.step_in_epoch
        and state.step_in_epoch < steps
        and state.wrong <= state.images == state.step_in_epoch * recipe.batch
    )
    if not together:
        raise InputError(
            f"{found / checkpoint.STATE}: {state.step:,} steps, {state.epoch:,} epochs and {state.step_in_epoch:,} steps,"
            f" {state.images:,} images, {state.wrong:,} wrong: not counted by this run, whose epochs have {steps:,} steps;"
            " remove that checkpoint's folder to go on from the one before"
        )


def _begin(
    run: Path,
    recipe: Recipe,
    prepared: Prepared,
    whole: tuple[dict[str, Tensor], dict[str, Any]],
    state: Progress,
) -> None:
    """Write what a run begins with; the recipe last, since a folder with a recipe can be resumed."""
    data = {"path": str(prepared.path.resolve()), "source": prepared.manifest["source"], "job": job()}
    try:
        keep_preparation(run, prepared)
        write_text(run / "data.json", json.dumps(data) + "\n")
        checkpoint.save(run, *whole, state, recipe.keep)
        write_text(run / "recipe.json", recipe.to_json())
    except OSError as error:
        raise (RunFailed if no_room(error) else InputError)(f"--out {refused(error)}") from None


def _without_last(recipe: Recipe, start: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """All weights of `start` but its head's, the bottleneck and the last layer. InputError, naming it, for a layer that only
    one of the two networks has, or has in another shape."""
    head = (BOTTLENECK, recipe.network.last_name)
    copied = {name: start.get(name) for name in own if name.split(".")[0] not in head}
    for name in start:
        if name not in copied and name.split(".")[0] not in head:
            raise InputError(
                f"--from: {name.split('.')[0]} is in that run's network and not in this one; leave out what changes the layers"
                " in --network"
            )
    for name, tensor in copied.items():
        if tensor is None or tensor.shape != own[name].shape:
            there = "not in that run" if tensor is None else f"{list(tensor.shape)} in that run"
            raise InputError(
                f"--from: {name} is {list(own[name].shape)} here and {there}; all layers but the last have to be of the same"
                " shape, so leave out what changes them in --network"
            )
    return {name: tensor for name, tensor in copied.items() if tensor is not None}


def begun_by_this_job(run: Path, recipe: Recipe, prepared: Prepared) -> bool:
    """Whether a run folder was begun, with this recipe, by the processes that this one belongs to, before one of them died."""
    try:
        begun = read_json(run / "data.json").get("job", "")
        return begun == job() != "" and recipes.read(run) == check_fit(recipe, prepared)
    except (OSError, ValueError, AttributeError):
        return False


def _check_same_data(run: Path, prepared: Prepared) -> None:
    """Raise InputError if the run began with other data: its position within an epoch would mean other images.

    Told by classes and mean image, which stay the same when the same images are prepared again.
    """
    classes, (mean, *_) = classes_of(run), statistics_of(run)
    if classes != prepared.classes or not np.array_equal(mean, prepared.mean):
        raise InputError(f"{prepared.path}: not the data that {run} began with; {run / 'data.json'} says which that is")


class _Loop:
    """The state of one call of `train`."""

    def __init__(
        self,
        recipe: Recipe,
        prepared: Prepared,
        preparation: Preparation,
        run: Path,
        shared: _Shared,
        state: Progress,
        device: torch.device,
        progress: Callable[[Status], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self.recipe, self.prepared, self.preparation, self.run = recipe, prepared, preparation, run
        self.shared, self.model, self.sgd, self.processes = shared, shared.model, shared.sgd, shared.processes
        self.state, self.device = state, device
        self.progress, self.stop = progress, stop
        self.data, self.indices = training_of(recipe, prepared)
        self.steps = -(-len(self.indices) // recipe.batch)
        self.validation, self.validation_indices = validation_of(recipe, prepared)
        self.log = Log(run, state.step, self.processes.first)
        self.validation_error: float | None = self.log.last.get("validation_top1")
        self.generator = torch.Generator(device)
        self.resident = batches.resident(self.data.images, self.data.labels, device, recipe.resident)
        self.validation_images: Images | Tensor = self.validation.images
        if self.resident and self.validation.name == self.data.name:  # some of its images are held out
            self.validation_images = self.resident.images
        elif self.resident:
            there = batches.resident(self.validation.images, self.validation.labels, device, recipe.resident)
            self.validation_images = there.images if there else self.validation.images
        self.how = recipe.augmentation
        self.share: tuple[int, slice] | None = None
        low, gpu = low_precision(recipe.precision, device), device.type == "cuda"
        torch.backends.cudnn.benchmark = gpu  # batches are of one size
        self.update = Step(
            self.model,
            self.sgd,
            self._input,
            recipe.batch,
            recipe.micro_batch,
            low,
            fused=gpu and TRITON and recipe.fusable,
            # What is captured reads its rates from the device, which the fused update does.
            capture=gpu and TRITON and recipe.fusable,
            compile="default" if recipe.compile else None,
            generators=(self.generator,),
            layout=shared.layout,
        )
        self.begun, self.seen_here, self.saved, self.saved_step = time.monotonic(), 0, time.monotonic(), state.step

    def go(self, started: Callable[[Start], None] | None = None) -> Outcome:
        """All epochs that are left."""
        recipe, state, shared = self.recipe, self.state, self.shared
        start = Start(
            recipe.network.name,
            recipe.network.classes,
            _device_name(self.device),
            torch.get_num_threads(),
            len(self.indices),
            measured_on(self.validation),
            len(self.validation_indices),
            self.steps,
            self.steps * recipe.epochs - state.step,
            state.step,
            self.processes.number,
            shared.parallel,
            precision_name(self.update.low, self.device),
        )
        if started:
            started(start)
        self.log.write(
            "start",
            epoch=state.epoch,
            step=state.step,
            device=start.device,
            torch=torch.__version__,
            threads=start.threads,
            precision=start.precision,
            images=start.images,
            validation_images=start.validation_images,
            processes=start.processes,
            parallel=start.parallel,
        )
        try:
            while not self._finished():
                now = recipe.rates(state.epoch, state.plateau)
                if not self._epoch(now):
                    self._save()
                    return Outcome(self.run, state.epoch, False, self.log.last)
                self._end_of_epoch(now)
                if not self._finished() and self.processes.any(self.stop()):
                    if self.saved_step != state.step:
                        self._save()
                    return Outcome(self.run, state.epoch, False, self.log.last)
            return Outcome(self.run, state.epoch, True, self.log.last)
        except RunFailed as error:  # which all processes find at once: a loss, a disk
            error.__dict__["by_all"] = True
            if self.processes.first or isinstance(error, FailedElsewhere):
                raise
            raise FailedElsewhere(str(error)) from error
        finally:
            self.log.close()
            # It refers to this loop, which refers to it: the images, weights and graph would stay on the device until Python
            # looks for such circles, and the next run of this process would find no room.
            del self.update

    def _save(self) -> None:
        whole = self.shared.whole()
        self.processes.alone(lambda: checkpoint.save(self.run, *whole, self.state, self.recipe.keep))
        self.saved, self.saved_step = time.monotonic(), self.state.step

    def _young(self) -> bool:
        """Whether the last checkpoint is; in all processes alike."""
        young = time.monotonic() - self.saved < YOUNG.get(self.device.type, 0.0)
        return bool(self.processes.agree(young)) if self.processes.number > 1 else young

    def _finished(self) -> bool:
        return self.state.epoch >= self.recipe.epochs or self.state.plateau.ended

    def _epoch(self, now: schedule.Rates) -> bool:
        """The steps that are left of one epoch; False if it was stopped before its end."""
        recipe, state = self.recipe, self.state
        current = now
        rule.apply(self.sgd, now, recipe.first_rate, recipe.last_rate)
        order = np.random.default_rng(seed_of(recipe.seed, "order", state.epoch)).permutation(self.indices)
        parts = [order[start : start + recipe.batch] for start in range(0, len(order), recipe.batch)]
        how = recipe.augmentation if now.colour else replace(recipe.augmentation, colour="none")
        if how != self.how:
            self.how = how
            self.update.set_input(self._input)
        began, before = time.monotonic(), state.seconds
        self.model.train()
        rising = recipe.warming(self.steps)
        for whole, images, labels in self._batches(parts[state.step_in_epoch :]):
            if state.step <= rising:
                current = recipe.warmed(now, state.step, self.steps)
                rule.apply(self.sgd, current, recipe.first_rate, recipe.last_rate)
            self.generator.manual_seed(seed_of(recipe.seed, "batch", state.step))
            torch.manual_seed(seed_of(recipe.seed, "dropout", state.step))
            self.update(images, labels, whole)
            state.step, state.step_in_epoch = state.step + 1, state.step_in_epoch + 1
            state.images += whole
            self.seen_here += whole
            last = state.step_in_epoch == self.steps
            look = state.step % LOG_STEPS == 0 or last or self.device.type == "cpu"
            stopping = self.stop() and not last
            due = time.monotonic() - self.saved > 60 * recipe.checkpoint_minutes and not last
            if look or (self.processes.number == 1 and (stopping or due)):
                # Sums go from the device to Python here, so that no step in between waits for it.
                loss, wrong, stopping, due = self._together(*self.update.take(), stopping, due)
                state.loss, state.wrong = state.loss + loss, state.wrong + wrong
                state.seconds = before + time.monotonic() - began
                self._look(current)
            else:
                stopping = due = False
            if (last or stopping or due) and self.processes.any(not _finite(self.model)):
                # A checkpoint comes next, and the last update may have spoilt the weights after a loss that was fine.
                raise self._diverged("the weights became infinite or NaN")
            if stopping:
                return False
            if due:
                self._save()
        return True

    def _batches(self, parts: list[np.ndarray]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(images of the whole batch, those that this process reads, labels of those it computes the loss of)."""
        own = [part[self.shared.rows(len(part))] for part in parts]
        if self.resident:
            given = self.resident.batches(own)
        else:
            given = read_ahead(self.data.images, self.data.labels, own, self.device)
        for part, (images, labels) in zip(parts, given, strict=True):
            number = len(part)
            rows, judged = self.shared.rows(number), self.shared.judged(number)
            self.share = (number, rows) if self.processes.number > 1 else None
            if judged != rows:
                labels = torch.from_numpy(np.asarray(self.data.labels[part[judged]], dtype=np.int64)).to(self.device)
            yield number, images, labels

    def _together(self, loss: float, wrong: int, stopping: bool, due: bool) -> tuple[float, int, bool, bool]:
        """Loss and errors summed over the processes, whether any was told to stop, whether process 0 wants to save."""
        if self.processes.number == 1:
            return loss, wrong, stopping, due
        if not self.processes.first and not self.shared.replicated:
            loss, wrong = 0.0, 0  # all have judged every image
        sums = torch.tensor([loss, wrong, stopping, due and self.processes.first], dtype=torch.float64)
        loss, wrong, stop, save = self.processes.sum(sums).tolist()
        return loss, int(wrong), stop > 0, save > 0

    def _input(self, given: Tensor) -> Tensor:
        """The network's input from images, or from the indices of those that are on the device."""
        images, indices = (self.resident.images, given) if self.resident else (given, None)
        return training_batch(
            images, self.preparation, self.how, self.generator, indices, self.share, self.update.input_dtype
        )

    def _look(self, now: schedule.Rates) -> None:
        """Stop if the loss is no number; log and report."""
        state = self.state
        loss, error = state.loss / state.images, 100.0 * state.wrong / state.images
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss}")
        if state.step % LOG_STEPS == 0:
            self.log.write("step", epoch=state.epoch, step=state.step, loss=loss, error=error, rate=now.weights)
        self._tell(now)

    def _tell(self, now: schedule.Rates, ended: bool = False) -> None:
        """Live progress; before the counters of the epoch are set back."""
        recipe, state = self.recipe, self.state
        if self.progress:
            speed = self.seen_here / max(time.monotonic() - self.begun, 1e-9)
            left = (recipe.epochs - state.epoch) * len(self.indices) - state.images
            self.progress(
                Status(
                    state.epoch + 1,
                    recipe.epochs,
                    state.step_in_epoch,
                    self.steps,
                    state.loss / state.images,
                    100.0 * state.wrong / state.images,
                    now.weights,
                    speed,
                    left / speed,
                    self.validation_error,
                    ended,
                )
            )

    def _diverged(self, what: str) -> RunFailed:
        return RunFailed(
            f"{what} at step {self.state.step} (epoch {self.state.epoch + 1}). Lower the rate (--rate"
            f" {self.recipe.rate / 10:g}); check the pixel scale with alexnet doctor {self.prepared.path}; biases that start at"
            f" 1 need a low rate. The last good checkpoint is {checkpoint.latest(self.run)}"
        )

    def _end_of_epoch(self, now: schedule.Rates) -> None:
        """Validate, write the epoch's line, save."""
        recipe, state = self.recipe, self.state
        loss = state.loss / state.images
        state.lowest_loss = min(state.lowest_loss, loss)
        epoch = state.epoch + 1
        line: dict[str, Any] = {
            "epoch": epoch,
            "step": state.step,
            "loss": loss,
            "train_error": 100.0 * state.wrong / state.images,
            "rate": now.weights,
            "images_per_second": state.images / max(state.seconds, 1e-9),
            "seconds": state.seconds,
        }
        if epoch % recipe.validate_every == 0 or epoch == recipe.epochs:
            self.model.eval()
            measured = evaluate(
                self.update.logits,
                self.preparation,
                self.validation_images,
                self.validation.labels,
                self.prepared.classes,
                self.validation_indices,
                batch=min(128, recipe.micro_batch or 128),
                processes=self.processes if self.shared.replicated else Processes(),
            )
            self.validation_error = measured.top1_error
            line |= {"validation_top1": measured.top1_error, "validation_top5": measured.top5_error}
            if recipe.schedule.kind == "plateau":
                state.plateau = state.plateau.after(measured.top1_error, recipe.schedule)
        self._tell(now, ended=True)
        state.epoch = epoch
        state.step_in_epoch, state.images, state.loss, state.wrong, state.seconds = 0, 0, 0.0, 0, 0.0
        # The line first: if a kill comes between the two, resuming drops the line and does the epoch's end again.
        self.log.write("epoch", **line)
        chance = math.log(recipe.network.classes)
        stuck = recipe.stuck_steps and state.step >= recipe.stuck_steps and state.lowest_loss > 0.99 * chance
        if stuck or self._finished() or not self._young():
            self._save()
        if stuck:
            raise RunFailed(
                f"after {state.step} steps the loss is still {loss:.4f}, and ln({recipe.network.classes}) = {chance:.4f} is what"
                " guessing gives. Try larger initial values in the middle (--network.init authors-2012), another --rate,"
                " biases of 0, and check labels and pixel scale with alexnet doctor. --stuck-steps 0 turns this check off"
            )


def _finite(model: nn.Module) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
