"""A run as one typed object. Every field can be set at the command line: `--rate 0.001`."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from alexnet.data.augment import Augmentation
from alexnet.data.manifest import LARGEST
from alexnet.device import Precision
from alexnet.errors import InputError
from alexnet.network.spec import Network
from alexnet.reading import SMALL, parse_json, read_bytes
from alexnet.run import folder
from alexnet.run import schedule as schedules
from alexnet.run.locate import STARTER, only_folder
from alexnet.run.schedule import Plateau, Rates, Schedule
from alexnet.typed import from_dict

MOST = {
    "epochs": 1 << 24,
    "batch": 1 << 24,
    "micro_batch": 1 << 24,
    "base_batch": 1 << 24,
    "image_size": LARGEST,
    "seed": (1 << 63) - 1,
    "hold_out_seed": (1 << 63) - 1,
    "keep": 1 << 24,
    "stop_after": 1 << 24,
    "validate_every": 1 << 24,
    "stuck_steps": 1 << 48,
}
"""What numbers of a recipe no run can have a use for more than."""


@dataclass(frozen=True)
class Recipe:
    """Network, data and optimisation of a run; `recipe.json` in the run folder is one of these."""

    name: str
    """What reports call it; also in the name of the run folder where --out is not given."""
    network: Network
    epochs: int = 90
    """Times that every training image is seen; most schedules scale to it."""
    batch: int = 128
    """Images to one update of the weights."""
    seed: int = 0
    """Of initial values, order, crops, colours and dropout."""
    rate: float = 0.01
    """First learning rate of the weights."""
    momentum: float = 0.9
    """Share of the last update that the next one keeps."""
    decay: float = 0.0005
    """Weight decay."""
    bias_rate: float = 1.0
    """Learning rate of the biases, as a multiple of the weights' (2012: 2)."""
    bias_decay: bool = True
    """Whether biases decay too (2012: no)."""
    first_rate: float = 1.0
    """Rate of conv1 as a multiple of the others (fine-tuning: below 1)."""
    last_rate: float = 1.0
    """Rate of the last layer as a multiple of the others (fine-tuning: above 1)."""
    last_rate_after: float = 0.0
    """Epochs before `last_rate` holds; until then the last layer has the others' rate (fine-tuning in 2012: 300 batches,
    .03 of an epoch)."""
    layer_rates: tuple[str, ...] = ()
    """Rates of other layers as multiples, LAYER:FACTOR, as conv2:0.1 fc6:2; times first_rate, last_rate and the schedule's
    own where these speak of the layer too."""
    freeze: tuple[str, ...] = ()
    """Layers that do not change at all, as conv1 conv2; steps are faster if they are the lowest ones."""
    base_batch: int = 0
    """Batch that `rate` is meant for: the rate used is rate x batch / base_batch (Goyal et al. 2017); 0: `rate` itself."""
    warmup_epochs: float = 0.0
    """Epochs in which the rate rises, step by step, from that of the base batch, or from 0 without one (Goyal: 5); 0: none."""
    rule: Literal["paper", "lars"] = "paper"
    """paper: §5; lars: the same with each weight tensor's rate by its length and its gradient's (You et al. 2017), for large
    batches."""
    trust: float = 1.0
    """"lars": length of a step as a share of the weights' own, in units of the rate."""
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    image_size: int = 256
    """Side of the images that crops are taken from, in pixels; larger prepared images are brought to it on the device."""
    hold_out: float = 0.1
    """Share of the training images of each class held out for validation where the data has no validation split."""
    hold_out_seed: int = 0
    """Of which images are held out."""
    balance: bool = False
    """Whether every class gives an epoch equally many images, drawn from its own, however many it has; for uneven classes."""
    stop_after: int = 0
    """Stop early, once so many validations in a row have brought no lower top-1 error; 0: never."""
    micro_batch: int | None = None
    """Images a pass through the network; the gradient of a batch is accumulated over several. None: the whole batch."""
    precision: Precision = "auto"
    """auto: bf16 on a GPU or CPU that multiplies it in hardware (weights stay float32), float32 elsewhere."""
    device: str = "auto"
    """auto: cuda, else mps, else cpu."""
    compile: bool = False
    """Whether torch.compile takes forward and backward of whole batches. Starts late; on the CPU it is slower."""
    resident: Literal["auto", "yes", "no"] = "auto"
    """Whether the training images, and those that validate, are kept in the device's memory. auto: on a GPU where they fit."""
    validate_every: int = 1
    """Epochs between two measurements of the validation error (centre crop); the last epoch is always measured."""
    checkpoint_minutes: float = 15.0
    """Minutes between two checkpoints within an epoch; the end of an epoch writes one too (on a GPU only if the last one is 20
    seconds old)."""
    keep: int = 2
    """How many checkpoints to keep."""
    stuck_steps: int = 3000
    """Stop with advice if the loss has not left ln(classes) after so many steps; 0: never."""
    log: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    """Trackers that get the recipe and the numbers of metrics.jsonl, beside TensorBoard, each by an extra of its name."""

    def check(self) -> None:
        """Raise InputError, naming the field, for a value that no run can use."""
        counts = ("epochs", "batch", "validate_every", "keep", "image_size", "micro_batch")
        amounts = (
            *("decay", "bias_rate", "first_rate", "last_rate", "last_rate_after", "warmup_epochs", "stop_after"),
            *("checkpoint_minutes", "stuck_steps", "seed", "hold_out_seed", "base_batch"),
        )
        value = dataclasses.asdict(self) | {"schedule.factor": self.schedule.factor}
        checks = [
            *((name, value[name] is None or value[name] >= 1, "at least 1") for name in counts),
            ("rate", 0 < self.rate < math.inf, "above 0 and finite"),
            ("momentum", 0 <= self.momentum < 1, "at least 0 and below 1"),
            ("hold_out", 0 < self.hold_out < 1, "between 0 and 1"),
            *((name, 0 <= value[name] < math.inf, "at least 0 and finite") for name in amounts),
            ("schedule.factor", self.schedule.factor > 1, "above 1, as the rate is divided by it"),
            ("trust", 0 < self.trust < math.inf, "above 0 and finite"),
        ]
        for name, right, demand in checks:
            if not right:
                raise InputError(f"--{name.replace('_', '-')} {value[name]}: must be {demand}")
        if self.schedule.patience < 1 or self.schedule.times < 0:
            raise InputError("--schedule.patience must be at least 1, --schedule.times at least 0")
        if self.schedule.times > 100 or len(self.schedule.drops) > 100:
            raise InputError("--schedule.times, --schedule.drops: at most 100 drops of the rate")
        for name, most in MOST.items():
            if (value[name] or 0) > most:
                raise InputError(f"--{name.replace('_', '-')}: at most {most:,}")
        self._check_layers()

    def _check_layers(self) -> None:
        factors = self.factors()
        layers = dict(self.network.all_rows())
        for option, named in (("layer-rates", factors), ("freeze", dict.fromkeys(self.freeze))):
            for layer in named:
                if layer not in layers:
                    raise InputError(
                        f"--{option} {layer}: the network has no such layer; its layers are {', '.join(layers)}"
                    )
        for layer in self.freeze:
            if layer in factors:
                raise InputError(f"--freeze {layer}: --layer-rates gives it a rate too; leave one out")
            if self.network.normalization == "batch" and "norm" in layers[layer].then:
                raise InputError(
                    f"--freeze {layer}: the batch normalization behind it would go on measuring its means; freeze layers without"
                    " one, or use --layer-rates"
                )
        if set(layers) <= set(self.freeze):
            raise InputError(f"--freeze {' '.join(self.freeze)}: these are all layers, and none is left to train")

    def factors(self) -> dict[str, float]:
        """`layer_rates` by layer; InputError for one that is not LAYER:FACTOR, or a layer that is there twice."""
        factors: dict[str, float] = {}
        for text in self.layer_rates:
            layer, _, number = text.rpartition(":")
            try:
                factor = float(number)
            except ValueError:
                factor = math.nan
            if not layer or not 0 <= factor < math.inf:
                raise InputError(
                    f"--layer-rates {text}: write LAYER:FACTOR with a factor of at least 0, as conv1:0.1 fc6:2"
                )
            if layer in factors:
                raise InputError(f"--layer-rates {text}: {layer} is there twice")
            factors[layer] = factor
        return factors

    @property
    def full_rate(self) -> float:
        """The weights' learning rate after the warm-up: `rate`, in proportion to the batch where there is a base batch."""
        return self.rate * self.batch / self.base_batch if self.base_batch else self.rate

    def rates(self, epoch: int, plateau: Plateau) -> Rates:
        """What the schedule gives for an epoch, from 0."""
        return schedules.rates(self.schedule, epoch, self.epochs, self.full_rate, self.bias_rate, plateau)

    def warming(self, steps: int) -> int:
        """The first step, from 0 and of `steps` an epoch, whose rates are the schedule's alone; 0 without a warm-up."""
        after = self.last_rate_after if self.last_rate != 1 else 0.0
        return math.ceil(max(self.warmup_epochs, after) * steps)

    def warmed(self, now: Rates, step: int, steps: int) -> Rates:
        """The rates of the step numbered `step` of the run, from 0 and of `steps` an epoch; `now` is its epoch's."""
        done = step / steps
        start = min(1.0, self.base_batch / self.batch)
        if done < self.last_rate_after and self.last_rate:
            now = replace(now, last=now.last / self.last_rate)
        return schedules.warm_up(now, done, self.warmup_epochs, start)

    def to_json(self) -> str:
        """This recipe as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str, where: str = "recipe.json") -> "Recipe":
        """The recipe that `to_json` wrote; InputError, naming `where`, if it is not one."""
        recipe: Recipe = from_dict(Recipe, parse_json(text, where), where)
        return recipe


def seed_of(seed: int, purpose: str, number: int) -> int:
    """A 63-bit seed for one purpose at one step; so a run's randomness at any step needs nothing that came before."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def read(run: Path) -> Recipe:
    """The recipe of a run folder; InputError if there is none."""
    only_folder(run)
    file = run / folder.RECIPE
    if not run.exists():
        meant = ", or did you mean starter?" if get_close_matches(str(run), [STARTER]) else ""
        raise InputError(f"{run}: there is no such folder; a run lies where alexnet train --out put it{meant}")
    if not file.is_file():
        raise InputError(f"{run}: no recipe.json in it, so it is no run folder; alexnet train --out {run} makes one")
    return Recipe.from_json(read_bytes(file, SMALL).decode("utf-8", errors="replace"), str(file))


def flatten(recipe: Recipe) -> dict[str, Any]:
    """Every field by its full name: {"rate": 0.01, "network.pooling.stride": 2, "network.convolutions.0.size": 11, ...}."""
    return dict(_flat(dataclasses.asdict(recipe), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{name}.{key}".lstrip("."))
