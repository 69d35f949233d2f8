"""A run as one typed object, and the named recipes. Every field can be set at the command line: `--rate 0.001`."""

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.data.batches import Augmentation
from alexnet.errors import InputError
from alexnet.network import spec
from alexnet.network.spec import Network, from_dict
from alexnet.training.optimizer import Schedule


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
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    image_size: int = 256
    """Side of the images that crops are taken from, in pixels; larger prepared images are brought to it on the device."""
    hold_out: float = 0.1
    """Share of the training images of each class held out for validation where the data has no validation split."""
    hold_out_seed: int = 0
    """Of which images are held out."""
    micro_batch: int | None = None
    """Images a pass through the network; the gradient of a batch is accumulated over several. None: the whole batch."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto: bf16 on a GPU that has it (float32 weights), float32 elsewhere."""
    device: str = "auto"
    """auto: cuda, else mps, else cpu."""
    compile: bool = False
    """Whether torch.compile takes forward and backward of whole batches. Starts late; on the CPU it is slower."""
    resident: Literal["auto", "yes", "no"] = "auto"
    """Whether the training images are kept in the device's memory. auto: on a GPU where they fit."""
    validate_every: int = 1
    """Epochs between two measurements of the validation error (centre crop); the last epoch is always measured."""
    checkpoint_minutes: float = 15.0
    """Minutes between two checkpoints within an epoch; the end of an epoch always writes one."""
    keep: int = 2
    """How many checkpoints to keep."""
    stuck_steps: int = 3000
    """Stop with advice if the loss has not left ln(classes) after so many steps; 0: never."""

    def check(self) -> None:
        """Raise InputError, naming the field, for a value that no run can use."""
        positive = {name: getattr(self, name) for name in ("epochs", "batch", "validate_every", "keep", "image_size")}
        for name, value in positive.items():
            if value < 1:
                raise InputError(f"--{name.replace('_', '-')} {value}: must be at least 1")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise InputError(f"--micro-batch {self.micro_batch}: must be at least 1")
        if not 0 < self.rate < float("inf"):
            raise InputError(f"--rate {self.rate}: must be above 0 and finite")
        if not 0 <= self.momentum < 1:
            raise InputError(f"--momentum {self.momentum}: must be at least 0 and below 1")
        if not 0 < self.hold_out < 1:
            raise InputError(f"--hold-out {self.hold_out}: must be between 0 and 1")
        rates = ("decay", "bias_rate", "first_rate", "last_rate")
        for name in (*rates, "checkpoint_minutes", "stuck_steps", "seed", "hold_out_seed"):
            value = getattr(self, name)
            if not value >= 0 or (name in rates and value == float("inf")):
                raise InputError(f"--{name.replace('_', '-')} {value}: must be at least 0 and finite")
        if not self.schedule.factor > 1:
            raise InputError(f"--schedule.factor {self.schedule.factor}: must be above 1, as the rate is divided by it")
        if self.schedule.patience < 1 or self.schedule.times < 0:
            raise InputError("--schedule.patience must be at least 1, --schedule.times at least 0")

    def to_json(self) -> str:
        """This recipe as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str, where: str = "recipe.json") -> "Recipe":
        """The recipe that `to_json` wrote; InputError, naming `where`, if it is not one."""
        try:
            values: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON ({error}); it is written by alexnet train") from None
        try:
            return from_dict(Recipe, values, where)
        except (TypeError, AttributeError) as error:
            raise InputError(f"{where}: not a recipe ({error}); it is written by alexnet train") from None


def read(run: Path) -> Recipe:
    """The recipe of a run folder; InputError if there is none."""
    file = run / "recipe.json"
    if not file.is_file():
        raise InputError(f"{run}: no recipe.json in it, so it is no run folder; alexnet train --out {run} makes one")
    return Recipe.from_json(file.read_text("utf-8", errors="replace"), str(file))


# The text of the paper: §3 the network, §4.1 and §4.2 against overfitting, §5 the rule and the plateau schedule.
paper = Recipe(name="paper", network=spec.paper)

# The program of 2012: every line of docs/disagreements.md, with the schedule its log records.
authors_2012 = Recipe(
    name="authors-2012",
    network=spec.authors_2012,
    epochs=91,
    bias_rate=2.0,
    bias_decay=False,
    schedule=Schedule("recorded-2012"),
    augmentation=Augmentation(crop="group", colour="authors-2012", mean="centre"),
)

# The paper's network on ten classes of ImageNet: the same rule, drops at fixed shares so that any --epochs makes sense.
imagenette = replace(
    paper,
    name="imagenette",
    network=replace(spec.paper, classes=10),
    schedule=Schedule("steps"),
)

# §3.1's four-layer network. Like the paper's comparison it uses no augmentation but reflections. In so few updates a decay of
# .0005 would do nothing: what counts is rate times decay times updates.
cifar10 = Recipe(
    name="cifar10",
    network=spec.four_layer,
    epochs=10,
    batch=64,
    rate=0.0015,
    bias_rate=2.0,
    decay=0.03,
    bias_decay=False,
    schedule=Schedule("linear"),
    augmentation=Augmentation(crop="centre", colour="none", mean="centre"),
    image_size=32,
)

# Every mechanism of the paper in minutes on two cores, on the photographs that come with the dependencies.
demo = Recipe(
    name="demo",
    network=spec.small,
    epochs=24,
    batch=64,
    schedule=Schedule("steps", drops=(0.6, 0.85)),
    image_size=64,
)

recipes: dict[str, Recipe] = {recipe.name: recipe for recipe in (demo, imagenette, cifar10, paper, authors_2012)}


def flatten(recipe: Recipe) -> dict[str, Any]:
    """Every field by its full name: {"rate": 0.01, "network.pooling": "3/2", "network.convolutions.0.size": 11, ...}."""
    return _flat(dataclasses.asdict(recipe), "")


def _flat(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        parts = {f"{name}.{key}".lstrip("."): inner for key, inner in value.items()}
    elif isinstance(value, tuple) and value and isinstance(value[0], dict):
        parts = {f"{name}.{number}": inner for number, inner in enumerate(value)}
    else:
        return {name: value}
    return {key: inner for part, within in parts.items() for key, inner in _flat(within, part).items()}


def fine_tuned(start: Recipe, classes: int) -> Recipe:
    """The recipe that continues `start` on other classes: a new last layer, lower rates below (2012, layers-*-ft).

    A tenth of the rate, a hundredth for conv1, and the full first rate for the new last layer; then the schedule
    "fine-tuning-2012", scaled to 30 epochs.
    """
    return replace(
        start,
        name=f"{start.name}-fine-tuned",
        network=replace(start.network, classes=classes),
        epochs=30,
        rate=start.rate / 10,
        first_rate=0.1,
        last_rate=10.0,
        schedule=Schedule("fine-tuning-2012"),
    )
