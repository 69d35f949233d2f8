"""Training a run, and going on with one: all that is checked, built and written before the first step (§5)."""

import json
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.device import keep_memory, pick
from alexnet.errors import InputError, RunFailed, out_of_memory
from alexnet.files import no_room, only_writer, refused, why, write_text
from alexnet.network.model import AlexNet
from alexnet.network.spec import BOTTLENECK
from alexnet.processes import FailedElsewhere, FailedHere, Mode, Processes, job, launched
from alexnet.reading import read_json
from alexnet.run import checkpoint, folder, memory
from alexnet.run import recipe as recipes
from alexnet.run.checkpoint import Progress
from alexnet.run.images import check_fit, training_of
from alexnet.run.recipe import Recipe, seed_of
from alexnet.run.trackers import Trackers
from alexnet.run.trained import preparation_of
from alexnet.training import layouts, rule
from alexnet.training.call import Call, Outcome, Start, Status
from alexnet.training.loop import Loop


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
    say: Callable[[str], Any] = warnings.warn,
    start_name: str | None = None,
) -> Outcome:
    """Train `recipe` on `prepared` into the folder `run`, or go on with the run that is there.

    start_from: weights by name to begin with, for fine-tuning; the last layer starts as the recipe says.
    progress, started: told of every step whose loss is looked at, and of the start; in process 0 alone.
    stop: asked after every step; True saves a checkpoint and ends the call. On the CPU a run that was stopped or killed
    at any moment and resumed has the same weights, to the bit, as one that never was (by one process, or by two: the sums
    of more are taken in an order that a new start may change).
    processes, parallel: this process's place among those that train together, and how they do (`layouts.layout`); all
    call this with the same arguments. `recipe.batch` images are one update in all of them together, so that what is
    learned does not depend on their number but for the rounding of sums; nor do checkpoints, which any number goes on from.
    Where they were started again because one of them died, they go on with the run that they began.
    say: told of what does not end the training: a tracker of `recipe.log` that failed and is left out from then on.
    start_name: what the network of `start_from` is called, for the run's report and its model card.
    Raises InputError for a recipe that does not fit the data or a folder that is taken; RunFailed, with advice, for a
    loss that is NaN or stuck at ln(classes), or a disk that is full.
    """
    call = Call(
        recipe, prepared, run, resume, start_from, progress, stop, started, processes, parallel, say, start_name
    )
    try:
        return _train(call)
    except (InputError, OSError, RunFailed) as error:
        by_all = isinstance(error, FailedElsewhere) or getattr(error, "by_all", False)
        if processes.number == 1 or by_all:
            raise
        raise FailedHere(f"process {processes.rank}: {error}") from error


def resume(run: Path, data: Path | None = None, epochs: int | None = None, **options: Any) -> Outcome:
    """Go on with a run that was stopped or killed, by its own recipe; or with a finished one, up to more `epochs`.

    data: its prepared dataset, by default where it was when the run began; options: as `train` takes them. Raises InputError
    if `run` is no run folder, or its data is not there or another; else as `extend` and `train`.
    """
    recipe = recipes.read(run)
    opened = prepared_sets.open(data or folder.data_of(run, there=True))
    if epochs is not None:
        recipe = extend(run, epochs)
    return train(recipe, opened, run, resume=True, **options)


def extend(run: Path, epochs: int) -> Recipe:
    """Give a run, most often a finished one, another number of epochs, to be reached by resuming it; returns its new recipe.

    A schedule that scales to the epochs goes on where it would be in the longer run, so its rate may rise again. Raises
    InputError, and writes nothing, if the run is there already, or its own schedule or early stopping has ended it.
    """
    recipe = replace(recipes.read(run), epochs=epochs)
    recipe.check()
    newest = checkpoint.newest(run)
    progress = checkpoint.progress_of(checkpoint.state_of(newest), newest / checkpoint.STATE)
    if progress.epoch >= epochs:
        raise InputError(f"--epochs {epochs}: {run} has done {progress.epoch}; say how many there shall be in all")
    if progress.plateau.ended or progress.early.ended:
        raise InputError(
            f"--epochs {epochs}: {run} ended by itself after {progress.epoch}, as its error fell no more; start another --from it"
        )
    with only_writer(run, "alexnet train"):
        write_text(run / folder.RECIPE, recipe.to_json())
    return recipe


def check_parallel(recipe: Recipe, parallel: Mode, number: int) -> None:
    """Raise InputError for what a recipe asks and `number` processes cannot do together in this way."""
    if parallel == "none" and number == 1:
        return
    layouts.check(parallel, recipe.network, number)
    if recipe.compile:
        raise InputError(f"--compile with --parallel {parallel}: only one process compiles its steps; leave one out")
    if recipe.rule == "lars" and parallel != "data":
        raise InputError(
            f"--rule lars with --parallel {parallel}: its norms are of whole weights, of which each process has a part; use"
            " --parallel data"
        )


def _train(call: Call) -> Outcome:
    call = replace(call, recipe=check_fit(call.recipe, call.prepared))
    recipe, run, processes = call.recipe, call.run, call.processes
    check_parallel(recipe, call.parallel, processes.number)
    device = pick(processes.device(recipe.device))
    keep_memory()
    if processes.number == 1:
        memory.check(recipe, device)
    if launched() and processes.any(processes.first and _begun_by_this_job(call)):
        call = replace(call, resume=True, restarted=True)
    with memory.advice(recipe, device), ExitStack() as locks:
        model = _network(call)
        preparation = preparation_of(
            call.prepared.mean, call.prepared.eigenvalues, call.prepared.eigenvectors, recipe
        ).to(device)
        if call.resume:
            _check_same_data(run, call.prepared)
        else:
            processes.alone(lambda: _check_free(run))
        processes.alone(lambda: locks.enter_context(only_writer(run, "alexnet train")))
        newest = checkpoint.newest(run) if call.resume else None
        if newest:
            checkpoint.load_weights(model, newest)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rule.freeze(model, recipe.freeze)
        layout = layouts.layout(call.parallel, model, processes)
        sgd = rule.optimizer_of(recipe, layout.module)
        state = Progress()
        images = len(training_of(recipe, call.prepared)[1])
        if newest:
            state = checkpoint.load_state(newest, sgd, lambda whole: layout.state_of_part(whole, sgd))
            _check_progress(state, recipe, images, newest)
        _check_agreement(call, state, images)
        trackers = processes.alone(
            lambda: locks.enter_context(closing(Trackers(run, recipe, state.step, call.resume, call.say)))
        )
        call = replace(call, trackers=trackers)
        if not newest:
            whole = layout.whole_state(sgd)
            processes.alone(lambda: _begin(call, whole, state))
        try:
            if processes.first:
                checkpoint.tidy(run, recipe.keep)
            return Loop(call, layout, sgd, state, preparation, device).train()
        except InputError as error:  # of the images
            raise InputError(f"{error}; then: alexnet train --resume {run}") from error
        except OSError as error:  # most likely a full disk
            if out_of_memory(error):
                raise
            reason, fix = why(error)
            raise RunFailed(
                f"{error.filename or run}: {reason}; the last whole checkpoint is {checkpoint.latest(run)}."
                f" {fix.capitalize()}, then: alexnet train --resume {run}"
            ) from error


def _network(call: Call) -> AlexNet:
    """The network with its initial values; without memory where a checkpoint's weights will be its own."""
    recipe = call.recipe
    torch.manual_seed(seed_of(recipe.seed, "init", 0))
    with torch.device("meta") if call.resume else nullcontext():
        model = AlexNet(recipe.network)
    if call.start_from is not None and not call.resume:
        model.load_state_dict(_without_head(recipe, call.start_from, model.state_dict()), strict=False)
    return model


def _without_head(recipe: Recipe, start: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
    """All weights of `start` but its head's, the bottleneck and the last layer.

    Raises InputError, naming it, for a layer that only one of the two networks has, or has in another shape.
    """
    head = (BOTTLENECK, recipe.network.last_name)
    copied = {name: start.get(name) for name in initial if name.split(".")[0] not in head}
    for name in start:
        if name not in copied and name.split(".")[0] not in head:
            raise InputError(
                f"--from: {name.split('.')[0]} is in that run's network and not in this one; leave out what changes the layers"
                " in --network"
            )
    for name, tensor in copied.items():
        if tensor is None or tensor.shape != initial[name].shape:
            other_shape = "not in that run" if tensor is None else f"{list(tensor.shape)} in that run"
            raise InputError(
                f"--from: {name} is {list(initial[name].shape)} here and {other_shape}; all layers but the last have to be of"
                " the same shape, so leave out what changes them in --network"
            )
    return {name: tensor for name, tensor in copied.items() if tensor is not None}


# --- Before anything is written ---------------------------------------------------------------------------------------


def _begun_by_this_job(call: Call) -> bool:
    """Whether the run was begun, with this recipe, by the processes that this one belongs to, before one of them died."""
    try:
        begun = read_json(call.run / folder.DATA).get("job", "")
        return begun == job() != "" and recipes.read(call.run) == call.recipe
    except (OSError, ValueError, AttributeError):
        return False


def _check_free(run: Path) -> None:
    """Raise InputError unless `run` is a folder, made here if need be, that holds no run."""
    if (run / folder.RECIPE).exists():
        raise InputError(
            f"{run}: there is a run already; go on with alexnet train --resume {run}, or use another --out"
        )
    newest = checkpoint.latest(run)
    # A run that was killed before it had a recipe leaves the checkpoint of step 0, which may be replaced.
    if newest is not None and newest.name != checkpoint.name_of(0):
        raise InputError(f"{run}: there are checkpoints, but no recipe.json; use another --out")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {refused(error, run)}") from None


def _check_same_data(run: Path, prepared: Prepared) -> None:
    """Raise InputError if the run began with other data: its position within an epoch would mean other images."""
    if not folder.is_data_of(run, prepared):
        raise InputError(f"{prepared.path}: not the data that {run} began with; {run / folder.DATA} says which that is")


def _check_progress(state: Progress, recipe: Recipe, images: int, newest: Path) -> None:
    """Raise InputError for counters that do not belong together, as they would mean other images than those seen so far."""
    steps = -(-images // recipe.batch)
    together = (
        state.step == state.epoch * steps + state.step_in_epoch
        and state.step_in_epoch < steps
        and state.wrong <= state.images == state.step_in_epoch * recipe.batch
    )
    if not together:
        raise InputError(
            f"{newest / checkpoint.STATE}: {state.step:,} steps, {state.epoch:,} epochs and {state.step_in_epoch:,} steps,"
            f" {state.images:,} images, {state.wrong:,} wrong: not counted by this run, whose epochs have {steps:,} steps;"
            " remove that checkpoint's folder to go on from the one before"
        )


def _check_agreement(call: Call, state: Progress, images: int) -> None:
    """Raise InputError unless all processes see the same data and the same checkpoint."""
    for quantity, value in (("training images", images), ("steps done", state.step)):
        first = call.processes.agree(value)
        if call.processes.any(value != first):
            raise InputError(
                f"--parallel {call.parallel}: the processes see different {quantity} (process 0: {first:,}); put the prepared"
                " dataset and the run folder on storage that all machines share, and prepare before training"
            )


def _begin(call: Call, whole: tuple[dict[str, Tensor], dict[str, Any]], state: Progress) -> None:
    """Write what a run begins with; the recipe last, since a folder with a recipe can be resumed."""
    run, prepared = call.run, call.prepared
    data = {
        "path": str(prepared.path.resolve()),
        "source": prepared.manifest["source"],
        "job": job(),
        "pretrained": (call.start_name or True) if call.start_from is not None else False,
    }
    try:
        folder.keep_preparation(run, prepared)
        write_text(run / folder.DATA, json.dumps(data) + "\n")
        checkpoint.save(run, *whole, state, call.recipe.keep)
        write_text(run / folder.RECIPE, call.recipe.to_json())
    except OSError as error:
        raise (RunFailed if no_room(error) else InputError)(f"--out {refused(error)}") from None
