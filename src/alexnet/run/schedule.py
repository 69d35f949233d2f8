"""How the learning rate falls (§5): divide by 10 when the validation error stops falling; and the other schedules."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls. Epochs count from 0; every kind but "plateau" scales to any number of epochs."""

    kind: Literal["plateau", "steps", "recorded-2012", "run-170", "fine-tuning-2012", "linear", "constant"] = "plateau"
    """plateau: lower when the validation error stops falling (§5); steps: at fixed shares of the epochs; recorded-2012: the
    log of run 145; run-170: four equal stages; fine-tuning-2012: as fine-tuned then; linear: by the same amount each epoch,
    towards 0 (not of 2012; for short runs); constant: never."""
    factor: float = 10.0
    """What the rate is divided by at a drop ("plateau", "steps")."""
    drops: tuple[float, ...] = (0.5, 0.75, 0.9)
    """"steps": when the rate drops, as shares of all epochs."""
    times: int = 3
    """"plateau": how many drops; one plateau more ends the run."""
    patience: int = 5
    """"plateau": validations without a lower error before a drop."""
    biases: Literal["by-kind", "with-weights", "once"] = "by-kind"
    """How the biases' rate falls: with the weights', or by 10 once, at the weights' first drop (2012). By kind: once in
    "recorded-2012" and, at half-time, in "run-170"; with the weights' in the others."""
    last_third: Literal["by-kind", "plain", "authors-2012"] = "by-kind"
    """authors-2012: conv1's rate by 10 lower and the colour noise off from 67/91 of the epochs, conv1 frozen from 72/91.
    By kind: in "recorded-2012" only."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of one epoch, and whether the colour noise is on."""

    weights: float
    biases: float
    first: float = 1.0
    """Multiplies the rates of conv1."""
    last: float = 1.0
    """Multiplies the rates of the last layer."""
    colour: bool = True


@dataclass(frozen=True)
class Plateau:
    """What the "plateau" schedule remembers: lowest validation error so far, validations since then, drops made."""

    best: float = float("inf")
    since: int = 0
    drops: int = 0
    ended: bool = False

    def after(self, error: float, schedule: Schedule) -> "Plateau":
        """The memory after one more validation error (%)."""
        if error < self.best:
            return replace(self, best=error, since=0)
        if self.since + 1 < schedule.patience:
            return replace(self, since=self.since + 1)
        if self.drops == schedule.times:
            return replace(self, since=self.since + 1, ended=True)
        return replace(self, since=0, drops=self.drops + 1)


def rates(schedule: Schedule, epoch: int, epochs: int, rate: float, bias_rate: float, plateau: Plateau) -> Rates:
    """The rates of `epoch` (from 0) of `epochs`; `rate` is the first one and `bias_rate` the biases' multiple of it."""
    now = _by_kind(schedule, epoch, epochs, rate, bias_rate, plateau)
    if schedule.biases == "with-weights":
        now = replace(now, biases=now.weights * bias_rate)
    elif schedule.biases == "once":
        now = replace(now, biases=rate * bias_rate / (10 if now.weights < rate else 1))
    if schedule.last_third == "plain":
        now = replace(now, first=1.0, colour=True)
    elif schedule.last_third == "authors-2012":
        recorded = _recorded_2012(91 * epoch / max(epochs, 1), rate, bias_rate)
        now = replace(now, first=recorded.first, colour=recorded.colour)
    return now


def _by_kind(schedule: Schedule, epoch: int, epochs: int, rate: float, bias_rate: float, plateau: Plateau) -> Rates:
    share = epoch / max(epochs, 1)
    if schedule.kind == "plateau":
        now = rate / schedule.factor**plateau.drops
    elif schedule.kind == "steps":
        now = rate / schedule.factor ** sum(share >= drop for drop in schedule.drops)
    elif schedule.kind == "recorded-2012":
        return _recorded_2012(91 * epoch / max(epochs, 1), rate, bias_rate)
    elif schedule.kind == "run-170":
        # Four equal stages, geometric from rate to rate / 250; biases drop once, by 10, at half-time.
        now = rate / 250 ** (min(int(4 * share), 3) / 3)
        return Rates(now, rate * bias_rate / (1 if share < 0.5 else 10))
    elif schedule.kind == "fine-tuning-2012":
        return _fine_tuning_2012(54 * epoch / max(epochs, 1), rate, bias_rate)
    elif schedule.kind == "linear":
        now = rate * (1 - epoch / max(epochs, 1))
    else:
        now = rate
    return Rates(now, now * bias_rate)


def _recorded_2012(epoch: float, rate: float, bias_rate: float) -> Rates:
    """The schedule of run 145 on ILSVRC-2012, stopped at 91 epochs: 10^-3 from 25, 10^-4 from 51, 10^-5 from 79.

    conv1 goes to 10^-5 with the colour noise off at 67, and to 0 at 72; the biases drop once, at 25.
    """
    drops = 0 if epoch < 25 else 1 if epoch < 51 else 2 if epoch < 79 else 3
    first = 1.0 if epoch < 67 else 0.1 if epoch < 72 else 0.0
    return Rates(rate / 10**drops, rate * bias_rate / (1 if epoch < 25 else 10), first=first, colour=epoch < 67)


def _fine_tuning_2012(epoch: float, rate: float, bias_rate: float) -> Rates:
    """The schedule of the fine-tuning in 2012, stopped at 54 epochs, from 10^-3, conv1 10^-4 and the last layer 10^-2.

    conv1 goes to 10^-5 at 5 and to 0 at 7, the last layer to the others' rate at 9, all by 10 lower at 22 and at 42, the
    colour noise off at 38. (The last layer's first 300 batches at the others' rate are `Recipe.last_rate_after`.)
    """
    now = rate / 10 ** ((epoch >= 22) + (epoch >= 42))
    first = 1.0 if epoch < 5 else 0.1 if epoch < 7 else 0.0
    return Rates(now, now * bias_rate, first, last=1.0 if epoch < 9 else 0.1, colour=epoch < 38)


def warm_up(now: Rates, done: float, epochs: float, start: float) -> Rates:
    """The rates after `done` epochs (4.5: in the middle of the fifth) of which the first `epochs` warm up.

    They rise in a straight line, step by step, from `start` times the rates to the rates (Goyal et al. 2017, "Accurate, Large
    Minibatch SGD": over 5 epochs, from the rate of the small batch). That paper's momentum correction is not made: §5's
    velocity keeps the rates that it was built up with, here as at every drop.
    """
    if done >= epochs:
        return now
    share = start + (1 - start) * done / epochs
    return replace(now, weights=now.weights * share, biases=now.biases * share)
