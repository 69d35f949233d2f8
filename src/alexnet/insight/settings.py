"""A run's recipe as a table, line by line beside the recipe `paper`: what its report shows."""

from dataclasses import dataclass

from alexnet.network import spec as specs
from alexnet.run import recipes
from alexnet.run.recipe import Recipe, flatten


@dataclass(frozen=True)
class Setting:
    """One line of the table: a name, what this run has, what the recipe `paper` has, or another it is held against."""

    name: str
    value: str
    paper: str
    mark: bool = True
    """Whether a difference means anything: a seed or a device does not change what is trained."""

    @property
    def differs(self) -> bool:
        """Whether the run departs from that recipe here."""
        return self.mark and self.value != self.paper


_PRACTICAL = (
    "seed", "device", "micro_batch", "validate_every", "checkpoint_minutes", "keep", "stuck_steps", "hold_out_seed", "log",
)  # fmt: skip
"""Fields that change how a run is computed and kept, not what is learned."""


def settings(recipe: Recipe, base: Recipe = recipes.paper) -> list[Setting]:
    """The recipe line by line beside the recipe `paper`, or `base`: layers first, then whatever else makes the run what it is."""
    values, paper = _lines(recipe), _lines(base)
    lines = [Setting(name, values.get(name, "none"), paper.get(name, "none")) for name in values | paper]
    lines.append(Setting("seed", str(recipe.seed), str(base.seed), mark=False))
    # The rows have the switches applied, and not every switch shows there; whatever else differs comes as it is.
    shown = {"name", "network.name", "network.classes", *_PRACTICAL, *(name for name, _ in _FIELDS)}
    fields = flatten(base)
    for name, value in flatten(recipe).items():
        if value != fields.get(name) and name not in shown and not name.startswith(_IN_SENTENCES):
            lines.append(Setting(name, str(value), str(fields.get(name))))
    return lines


_FIELDS = (
    ("network.input_size", "input, pixels"),
    ("network.columns", "columns"),
    ("network.normalization", "normalization"),
    ("network.normalization_window", "normalization window"),
    ("network.pooling", "pooling, window/stride"),
    ("network.rounding", "map sizes rounded"),
    ("network.activation", "activation"),
    ("network.dropout", "dropout"),
    ("network.dropout_form", "dropout form"),
    ("epochs", "epochs, at most"),
    ("batch", "batch"),
    ("rate", "learning rate"),
    ("momentum", "momentum"),
    ("decay", "weight decay"),
    ("bias_rate", "rate of biases, times"),
    ("bias_decay", "biases decay"),
    ("first_rate", "rate of conv1, times"),
    ("last_rate", "rate of the last layer, times"),
    ("image_size", "prepared images, pixels"),
    ("hold_out", "held out if there is no validation split"),
    ("precision", "precision"),
)
_IN_SENTENCES = (
    "schedule.",
    "augmentation.",
    "network.convolutions.",
    "network.hidden.",
    "network.lrn.",
    "network.pooling.",
)
"""Beginnings of the fields that the other lines say in words."""


def _lines(recipe: Recipe) -> dict[str, str]:
    network = recipe.network
    flat = flatten(recipe) | {"network.normalization": network.normalization_name, "network.pooling": network.pooling}
    lines = {name: _layer(network, name, row) for name, row in network.rows()}
    lines[network.last_name] = f"{network.classes} classes; from std {network.std_of_last:g}"
    for field, name in _FIELDS:
        value = flat[field]
        lines[name] = ("no", "yes")[value] if isinstance(value, bool) else str(value)
    lines["schedule"] = _schedule(recipe)
    augmentation = recipe.augmentation
    crops = {"image": "for every image", "group": "for 32 images at once", "centre": "always the centre"}
    means = {"position": "of its own position", "centre": "of the centre"}
    mirrored = ", mirrored half of the time" if augmentation.flip else ", never mirrored"
    lines["crops"] = crops[augmentation.crop] + mirrored
    lines["colour noise"] = augmentation.colour
    lines["mean that a crop subtracts"] = means[augmentation.mean]
    return lines


def _layer(network: specs.Network, name: str, row: specs.Convolution | specs.Hidden) -> str:
    if isinstance(row, specs.Convolution):
        text = f"{row.kernels} kernels {row.size}×{row.size}"
        text += f", stride {row.stride}" if row.stride > 1 else ""
        text += f", padding {row.padding}" if row.padding else ""
    else:
        text = f"{row.units} units"
    if network.columns > 1 and name != "conv1":
        text += ", reads both columns" if network.reads_both(name) else ", reads its own column"
    steps = [network.activation if step == "relu" else step for step in row.then]
    text += f"; then {', '.join(steps)}" if steps else ""
    initial = "PyTorch's values" if network.init == "pytorch" else f"std {row.std:g}, bias {row.bias:g}"
    return f"{text}; from {initial}"


def _schedule(recipe: Recipe) -> str:
    schedule = recipe.schedule
    shares = ", ".join(f"{100 * share:g}" for share in schedule.drops)
    text = {
        "plateau": f"÷{schedule.factor:g} after {schedule.patience} validations without a lower error, {schedule.times} times",
        "steps": f"÷{schedule.factor:g} at {shares} % of the epochs",
        "recorded-2012": "as recorded in 2012: ÷10 at 25, 51 and 79 of 91 epochs, biases once; conv1 ÷10 and colour noise"
        " off at 67, conv1 frozen at 72",
        "run-170": "four equal stages from the first rate to 1/250 of it (2012, run 170)",
        "fine-tuning-2012": "as in the fine-tuning of 2012: ÷10 at 22/54 and 42/54 of the epochs, the last layer at 9/54"
        " too; conv1 ÷10 at 5/54, frozen at 7/54; colour noise off at 38/54",
        "linear": "a straight line from the first rate towards 0",
        "constant": "constant",
    }[schedule.kind]
    special = {
        "with-weights": "; the biases' rate falls with the weights'",
        "once": "; the biases' rate falls once",
        "plain": "; conv1 and the colour noise as before to the end",
        "authors-2012": "; conv1 ÷10 and colour noise off at 67/91 of the epochs, conv1 frozen at 72/91",
    }
    return text + special.get(schedule.biases, "") + special.get(schedule.last_third, "")
