"""The loop: an epoch after the other, a batch after the other; what is written of it; when it stops (§5)."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import provenance
from alexnet.data import loader
from alexnet.data.augment import Preparation, training_batch
from alexnet.data.loader import read_ahead
from alexnet.data.prepared import Images
from alexnet.device import low_precision, precision_name
from alexnet.errors import Diverged, RunFailed
from alexnet.evaluation.measure import evaluate
from alexnet.fast import TRITON
from alexnet.processes import FailedElsewhere, Processes
from alexnet.run import checkpoint, growth
from alexnet.run.checkpoint import Progress
from alexnet.run.images import epoch_order, measured_on, training_of, validation_of
from alexnet.run.metrics import Log
from alexnet.run.recipe import seed_of
from alexnet.run.schedule import Rates, Schedule
from alexnet.training import rule
from alexnet.training.call import Call, Outcome, Start, Status
from alexnet.training.layouts import Layout
from alexnet.training.rule import PaperSGD
from alexnet.training.step import Augment, Batch, Step

LOG_STEPS = 20
"""Steps between two looks at the loss: each one waits for the device."""

YOUNG = {"cuda": 20.0}
"""By kind of device, seconds: the end of an epoch writes no checkpoint as long as the last one is younger than this. On a GPU an
epoch of a small set takes less time than writing 61 million weights and their velocities."""


class Loop:
    """The training of a run, from where `state` says it is."""

    def __init__(
        self, call: Call, layout: Layout, sgd: PaperSGD, state: Progress, preparation: Preparation, device: torch.device
    ) -> None:
        recipe = call.recipe
        self.call, self.recipe, self.run, self.processes = call, recipe, call.run, call.processes
        self.layout, self.model, self.sgd = layout, layout.module, sgd
        self.state, self.preparation, self.device = state, preparation, device
        self.data, self.indices = training_of(recipe, call.prepared)
        self.steps = -(-len(self.indices) // recipe.batch)
        self.validation, self.validation_indices = validation_of(recipe, call.prepared)
        self.log = Log(call.run, state.step, call.trackers)
        self.validation_error: float | None = self.log.last.get("validation_top1")
        self.resident = loader.resident(self.data.images, self.data.labels, device, recipe.resident)
        self.validation_images = self._validation_images()
        self.generator = torch.Generator(device)
        self.augmentation = recipe.augmentation
        gpu = device.type == "cuda"
        torch.backends.cudnn.benchmark = gpu  # batches are of one size
        # The fused update is the paper's rule; what is captured reads its rates from the device, which it does.
        fused = gpu and TRITON and recipe.rule == "paper"
        self.step = Step(
            layout,
            sgd,
            self._augment(),
            recipe.batch,
            recipe.micro_batch,
            low_precision(recipe.precision, device),
            fused=fused,
            capture=fused,
            compile="default" if recipe.compile else None,
            generators=(self.generator,),
        )
        self.begun, self.seen, self.saved, self.saved_step = time.monotonic(), 0, time.monotonic(), state.step

    # --- Learning -----------------------------------------------------------------------------------------------------

    def train(self) -> Outcome:
        """All epochs that are left, or as many as there are until it is stopped."""
        try:
            self._tell_start()
            if self.state.step == 0:
                self._keep_kernels()
            stopped = False
            while not (stopped or self._finished()):
                rates = self.recipe.rates(self.state.epoch, self.state.plateau)
                stopped = not self._epoch(rates)
                if not stopped:
                    self._end_of_epoch(rates)
                    stopped = not self._finished() and self.processes.any(self.call.stop())
            if stopped and self.saved_step != self.state.step:
                self._save()
            self.log.close(finished=not stopped)
            return Outcome(self.run, self.state.epoch, not stopped, self.log.last)
        except RunFailed as error:  # which all processes find at once: a loss, a disk
            error.__dict__["by_all"] = True
            if self.processes.first or isinstance(error, FailedElsewhere):
                raise
            raise FailedElsewhere(str(error)) from error

    def _epoch(self, rates: Rates) -> bool:
        """The steps that are left of one epoch; False if it was stopped before its end."""
        recipe, state, current = self.recipe, self.state, rates
        rule.apply(self.sgd, rates, recipe.first_rate, recipe.last_rate)
        self._set_colour(rates.colour)
        began = time.monotonic() - state.seconds
        warm = recipe.warming(self.steps)
        self.model.train()
        for batch in self._batches():
            if state.step <= warm:
                current = recipe.warmed(rates, state.step, self.steps)
                rule.apply(self.sgd, current, recipe.first_rate, recipe.last_rate)
            # Chance is a function of the seed and the step: a resumed run draws what one that never stopped would.
            self.generator.manual_seed(seed_of(recipe.seed, "batch", state.step))
            torch.manual_seed(seed_of(recipe.seed, "dropout", state.step))
            self.step(batch)  # forward, loss, backward, update
            state.step, state.step_in_epoch = state.step + 1, state.step_in_epoch + 1
            state.images, self.seen = state.images + batch.size, self.seen + batch.size
            if self._after_step(current, began):
                return False
        return True

    def _batches(self) -> Iterator[Batch]:
        """The batches that are left of the epoch, in its order, on the device; of each, what this process reads."""
        order = epoch_order(self.recipe, self.data.labels, self.indices, self.state.epoch)
        size, layout = self.recipe.batch, self.layout
        parts = [order[start : start + size] for start in range(self.state.step_in_epoch * size, len(order), size)]
        read = [part[layout.rows(len(part))] for part in parts]
        if self.resident:
            batches = self.resident.batches(read)
        else:
            batches = read_ahead(self.data.images, self.data.labels, read, self.device)
        for part, (images, labels) in zip(parts, batches, strict=True):
            rows, judged = layout.rows(len(part)), layout.judged(len(part))
            if judged != rows:
                labels = torch.from_numpy(np.asarray(self.data.labels[part[judged]], dtype=np.int64)).to(self.device)
            yield Batch(images, labels, len(part), rows)

    def _set_colour(self, on: bool) -> None:
        """Turn the colour noise on or off, as the schedule of 2012 does near its end."""
        augmentation = self.recipe.augmentation if on else replace(self.recipe.augmentation, colour="none")
        if augmentation != self.augmentation:
            self.augmentation = augmentation
            self.step.set_augment(self._augment())

    def _augment(self) -> Augment:
        """The function that makes the network's input of a batch (§4.1).

        It refers to no loop, so that the step does not either: nothing stays on the device for this process's next run.
        """
        preparation, augmentation, generator = self.preparation, self.augmentation, self.generator
        resident = self.resident.images if self.resident else None

        def augment(batch: Batch, dtype: torch.dtype) -> Tensor:
            images, indices = (batch.images, None) if resident is None else (resident, batch.images)
            share = batch.size, batch.rows
            return training_batch(images, preparation, augmentation, generator, indices, share, dtype)

        return augment

    # --- After a step -------------------------------------------------------------------------------------------------

    def _after_step(self, rates: Rates, began: float) -> bool:
        """Look at the loss now and then, log and save where that is due; True to stop within the epoch.

        began: when the epoch would have begun, had it not been interrupted.
        """
        state = self.state
        last = state.step_in_epoch == self.steps
        stopping = self.call.stop() and not last
        due = time.monotonic() - self.saved > 60 * self.recipe.checkpoint_minutes and not last
        look = state.step % LOG_STEPS == 0 or last or self.device.type == "cpu"
        if not (look or (self.processes.number == 1 and (stopping or due))):
            return False
        # Sums go from the device to Python here, so that no step in between waits for it.
        loss, wrong, stopping, due = self._together(*self.step.take(), stopping, due)
        state.loss, state.wrong = state.loss + loss, state.wrong + wrong
        state.seconds = time.monotonic() - began
        if not math.isfinite(state.loss):
            raise self._diverged(f"the loss became {state.loss / state.images}")
        if state.step % LOG_STEPS == 0:
            figures = {"loss": state.loss / state.images, "error": 100.0 * state.wrong / state.images}
            self.log.write("step", epoch=state.epoch, step=state.step, **figures, rate=rates.weights)
        self._tell(rates)
        if (last or stopping or due) and self.processes.any(not self._finite()):
            # A checkpoint comes next, and the last update may have spoilt the weights after a loss that was fine.
            raise self._diverged("the weights became infinite or NaN")
        if due and not stopping:
            self._save()
        return stopping

    def _together(self, loss: float, wrong: int, stopping: bool, due: bool) -> tuple[float, int, bool, bool]:
        """Loss and errors summed over the processes, whether any was told to stop, whether process 0 wants to save."""
        if not self.processes.first and not self.layout.replicated:
            loss, wrong = 0.0, 0  # all have judged every image
        sums = torch.tensor([loss, wrong, stopping, due and self.processes.first], dtype=torch.float64)
        loss, wrong, stop, save = self.processes.sum(sums).tolist()
        return loss, int(wrong), stop > 0, save > 0

    def _finite(self) -> bool:
        return all(bool(tensor.isfinite().all()) for tensor in self.model.state_dict().values())

    def _diverged(self, event: str) -> Diverged:
        return Diverged(
            f"{event} at step {self.state.step} (epoch {self.state.epoch + 1}). Lower the rate (--rate"
            f" {self.recipe.rate / 10:g}); check the pixel scale with alexnet doctor {self.call.prepared.path}; biases that start"
            f" at 1 need a low rate. The last good checkpoint is {checkpoint.latest(self.run)}"
        )

    # --- After an epoch -----------------------------------------------------------------------------------------------

    def _end_of_epoch(self, rates: Rates) -> None:
        """Validate, write the epoch's line, save."""
        recipe, state = self.recipe, self.state
        loss = state.loss / state.images
        state.lowest_loss = min(state.lowest_loss, loss)
        line: dict[str, Any] = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "loss": loss,
            "train_error": 100.0 * state.wrong / state.images,
            "rate": rates.weights,
            "images_per_second": state.images / max(state.seconds, 1e-9),
            "seconds": state.seconds,
        }
        if line["epoch"] % recipe.validate_every == 0 or line["epoch"] == recipe.epochs:
            line |= self._validate()
        self._tell(rates, ended=True)
        state.epoch = line["epoch"]
        state.step_in_epoch, state.images, state.loss, state.wrong, state.seconds = 0, 0, 0.0, 0, 0.0
        # The line first: if a kill comes between the two, resuming drops the line and does the epoch's end again.
        self.log.write("epoch", **line)
        self._keep_kernels()
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

    def _validate(self) -> dict[str, float]:
        """Measure the validation errors, in percent, centre crop; the plateau schedule is told of them."""
        self.model.eval()
        measured = evaluate(
            self.step.logits,
            self.preparation,
            self.validation_images,
            self.validation.labels,
            self.call.prepared.classes,
            self.validation_indices,
            batch=min(128, self.recipe.micro_batch or 128),
            processes=self.processes if self.layout.replicated else Processes(),
        )
        self.validation_error = measured.top1_error
        if self.recipe.schedule.kind == "plateau":
            self.state.plateau = self.state.plateau.after(measured.top1_error, self.recipe.schedule)
        if self.recipe.stop_after:
            patience = Schedule(times=0, patience=self.recipe.stop_after)
            self.state.early = self.state.early.after(measured.top1_error, patience)
        return {"validation_top1": measured.top1_error, "validation_top5": measured.top5_error}

    def _validation_images(self) -> Images | Tensor:
        """The images that validate: in the device's memory where the training images are there, and they fit too."""
        if self.resident is None:
            return self.validation.images
        if self.validation.name == self.data.name:  # some of its images are held out
            return self.resident.images
        images, labels = self.validation.images, self.validation.labels
        resident = loader.resident(images, labels, self.device, self.recipe.resident)
        return resident.images if resident else images

    def _finished(self) -> bool:
        state = self.state
        return state.epoch >= self.recipe.epochs or state.plateau.ended or state.early.ended

    def _save(self) -> None:
        whole = self.layout.whole_state(self.sgd)
        self.processes.alone(lambda: checkpoint.save(self.run, *whole, self.state, self.recipe.keep))
        self.saved, self.saved_step = time.monotonic(), self.state.step

    def _keep_kernels(self) -> None:
        """Keep conv1's kernels as they are now, whole, for a look at how they grew."""
        name = "conv1.weight"
        kernels = self.layout.whole({name: self.model.get_parameter(name)})[name]
        self.processes.alone(lambda: growth.keep(self.run, self.state.epoch, kernels))

    def _young(self) -> bool:
        """Whether the last checkpoint is so young that the end of an epoch writes none; all processes agree."""
        return bool(self.processes.agree(time.monotonic() - self.saved < YOUNG.get(self.device.type, 0.0)))

    # --- Progress --------------------------------------------------------------------------------------------

    def _tell_start(self) -> None:
        start = Start(
            self.recipe,
            torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            torch.get_num_threads(),
            precision_name(self.step.low, self.device),
            len(self.indices),
            measured_on(self.validation),
            len(self.validation_indices),
            self.steps,
            self.state.step,
            self.call.restarted,
            self.call.start_from is not None,
            self._finished(),
            self.log.trackers.left_out if self.log.trackers else (),
        )
        if self.call.started and self.processes.first:
            self.call.started(start)
        names = ("device", "threads", "precision", "images", "validation_images")
        facts = {name: getattr(start, name) for name in names}
        facts |= {"processes": self.processes.number, "parallel": self.call.parallel}
        facts |= {"cpu": provenance.processor(), "torch": torch.__version__, "commit": provenance.commit()}
        self.log.write("start", epoch=self.state.epoch, step=start.done, **facts)

    def _tell(self, rates: Rates, ended: bool = False) -> None:
        """Report live progress; to be called before the epoch's counters are set back."""
        if not self.call.progress or not self.processes.first:
            return
        recipe, state = self.recipe, self.state
        speed = self.seen / max(time.monotonic() - self.begun, 1e-9)
        left = (recipe.epochs - state.epoch) * len(self.indices) - state.images
        self.call.progress(
            Status(
                state.epoch + 1,
                recipe.epochs,
                state.step_in_epoch,
                self.steps,
                state.loss / state.images,
                100.0 * state.wrong / state.images,
                rates.weights,
                speed,
                left / speed,
                self.validation_error,
                ended,
            )
        )
