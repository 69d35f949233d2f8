"""A run folder: which network it is, whether its checkpoints are whole, how its training goes, what it was trained on."""

import math
from pathlib import Path
from typing import Any

import torch

from alexnet.data import prepared
from alexnet.doctor import machine
from alexnet.doctor.dataset import colour
from alexnet.doctor.finding import Finding, error, ok, parts, some, warning
from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.reading import read_json
from alexnet.run import checkpoint, trained
from alexnet.run import recipe as recipes
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe


def examine(path: Path) -> list[Finding]:
    """Findings about the run folder `path`."""
    try:
        recipe = recipes.read(path)
        recipe.check()
        with torch.device("meta"):  # shapes without values: at once, whatever the size
            model = AlexNet(recipe.network)
    except InputError as problem:
        return [error(*parts(problem, "copy recipe.json from a backup, or train again"))]
    lines = read_metrics(path)
    findings = _which(recipe, model)
    findings += _rates(recipe)
    findings += _checkpoints(path, model)
    findings += _training(path, recipe, lines)
    findings += _classes(path, recipe)
    findings += _preparation(path, recipe)
    findings += _data(path, recipe)
    findings += _versions(lines)
    return findings + machine.memory(recipe)


# --- the recipe -------------------------------------------------------------------------------------------------------


def _which(recipe: Recipe, model: AlexNet) -> list[Finding]:
    # "Which AlexNet is this?" and "LRN's alpha": the widths, the columns and the coefficients that the name hides.
    network = recipe.network
    parameters = sum(parameter.numel() for parameter in model.parameters())
    columns = "two columns" if network.columns == 2 else "no columns"
    text = f"network {network.name}: {parameters:,} parameters, {columns}, {network.classes} classes"
    findings = [ok(f"recipe {recipe.name}, {text}, normalization {_normalization(network.normalization_name)}")]

    # 224 or 227: an 11×11 window with stride 4 does not come out even on 224.
    first = model.windows.get("conv1")
    if first is not None and first.overhang < 0:
        findings.append(
            warning(
                f"conv1 leaves {-first.overhang} pixels at the right and bottom unread: {first}",
                f"--network.rounding up (2012), or --network.input-size {first.size + first.stride + first.overhang}",
            )
        )
    return findings


def _normalization(kind: str) -> str:
    said = {
        "paper": "paper (k 2, alpha 1e-4 times the plain sum; as torch's nn.LocalResponseNorm(5, alpha=5e-4, k=2))",
        "authors-2012": "authors-2012 (k 2, alpha 1e-4 divided by n; as torch's nn.LocalResponseNorm(5, alpha=1e-4, k=2))",
        "caffe": "caffe (k 1, alpha 1e-4 divided by n; as torch's nn.LocalResponseNorm(5, alpha=1e-4, k=1))",
    }
    return said.get(kind, kind)


def _rates(recipe: Recipe) -> list[Finding]:
    findings = []
    # Batch size against rate: .01 belongs to 128.
    ratio = (recipe.full_rate / recipe.batch) / (0.01 / 128)
    if recipe.first_rate == 1.0 and recipe.rule == "paper" and recipe.batch != 128 and not 0.2 <= ratio <= 5:
        findings.append(
            warning(
                f"rate {recipe.full_rate:g} for batches of {recipe.batch}: the paper has 0.01 for 128",
                f"try --rate {0.01 * (recipe.base_batch or recipe.batch) / 128:.2g}, in proportion to the batch",
            )
        )
    # Bias 1 with a too high rate: units die or the loss is NaN.
    ones = [name for name, row in recipe.network.rows() if row.bias >= 1]
    if ones and recipe.full_rate * max(1.0, recipe.bias_rate) > 0.04:
        findings.append(
            warning(
                f"biases of {some(ones)} begin at 1 and the rate is {recipe.full_rate:g}: such runs often end in NaN",
                "--rate 0.01, or a network whose biases begin lower (caffe: 0.1)",
            )
        )
    return findings


# --- checkpoints ------------------------------------------------------------------------------------------------------


def _checkpoints(path: Path, model: AlexNet) -> list[Finding]:
    folder = path / "checkpoints"
    found = sorted(folder.glob("step-*"))
    if not found:
        return [error(f"{path} has no checkpoint", f"train again: alexnet train RECIPE --data DIR --out {path}-again")]
    findings: list[Finding] = []
    whole = []
    for one in found:
        problems = _checkpoint(one, model)
        findings += problems
        whole += [] if problems else [one.name]
    if whole:
        findings.append(
            ok(f"checkpoints: {', '.join(whole)} are whole, their weights finite, optimiser and rates with them")
        )
    if list(folder.glob(".*.new")):
        findings.append(
            ok("a checkpoint is being written, or a killed process left half of one, which the next one removes")
        )
    return findings


def _checkpoint(one: Path, model: AlexNet) -> list[Finding]:
    drop = f"remove {one} to go on from the one before"
    try:
        weights = checkpoint.weights(one)
        state = checkpoint.state_of(one)
        step = checkpoint.progress_of(state, one / checkpoint.STATE).step
        velocities = state["optimizer"]["state"]
        number = len(velocities)
    except InputError as problem:
        # NaN in the weights stays there for ever.
        diverged = ", and lower the rate (--rate), since it would come to the same" if "NaN" in str(problem) else ""
        return [error(str(problem).partition(";")[0], drop + diverged)]
    except (KeyError, TypeError):
        return [error(f"{one / checkpoint.STATE} has no velocities", drop)]
    # "module." in checkpoints: saved from inside DataParallel.
    wrapped = [name for name in weights if name.startswith("module.")]
    if wrapped:
        return [
            error(f"{one}: weights are called {some(wrapped, 1)}", "save model.module.state_dict(), without the prefix")
        ]
    findings = []
    for name, tensor in model.state_dict().items():
        if name not in weights or weights[name].shape != tensor.shape:
            has = list(weights[name].shape) if name in weights else "absent"
            findings.append(error(f"{one}: {name} is {has}, the recipe's network has {list(tensor.shape)}", drop))
    # Resume that forgets the optimiser: without velocities the error jumps.
    if step and number < len(list(model.parameters())):
        findings.append(error(f"{one}: velocities of only {number} of {len(list(model.parameters()))} weights", drop))
    return findings


# --- how training goes ------------------------------------------------------------------------------------------------


def _training(path: Path, recipe: Recipe, lines: list[dict[str, Any]]) -> list[Finding]:
    epochs = [line for line in lines if line.get("kind") == "epoch"]
    resume = f"alexnet train --resume {path}"
    if not epochs and _imported(path):
        return [ok(f"weights imported from {_imported(path)}, not trained further")]
    if not epochs:
        return [warning("no epoch is finished yet", f"wait, or go on: {resume}")]
    last, classes = epochs[-1], recipe.network.classes
    loss, chance = float(last["loss"]), math.log(classes)
    findings: list[Finding] = []
    # Loss NaN or stuck at ln(classes): initial values, rate, pixel scale, biases.
    if not all(math.isfinite(float(line["loss"])) for line in lines if "loss" in line):
        findings.append(
            error(
                f"the loss became NaN or infinite by epoch {last['epoch']}",
                f"begin again with a lower rate (--rate {recipe.rate / 10:g}); look at the data: alexnet doctor DATA",
            )
        )
    elif loss > 0.98 * chance and last["epoch"] >= 2:
        findings.append(
            warning(
                f"after {last['epoch']} epochs the loss is {loss:.3f}; guessing gives ln({classes}) = {chance:.3f}",
                "larger initial values in the middle (--network.init authors-2012), another --rate, biases of 0;"
                " pixels must be 0-255, and labels in the order of the class names",
            )
        )
    # What accuracy to expect.
    if "validation_top1" in last:
        text = f"epoch {last['epoch']}: loss {loss:.3f}, training error {last['train_error']:.1f}%"
        text += f", validation error {last['validation_top1']:.1f} / {last['validation_top5']:.1f}%"
        findings.append(ok(f"{text}; guessing gives {100 * (1 - 1 / classes):.1f}% top-1"))
        if last["train_error"] < 2 and last["validation_top1"] > 30:
            findings.append(
                warning(
                    "the training images are known by heart, and validation is far behind: overfitting",
                    "more images, or start from a trained network: alexnet train --from RUN --data DIR",
                )
            )
    ended = last["epoch"] >= recipe.epochs or _plateau_ended(path)
    if not ended:
        findings.append(warning(f"{last['epoch']} of {recipe.epochs} epochs are done", f"go on: {resume}"))
    else:
        findings.append(ok(f"finished after epoch {last['epoch']}"))
    return findings


def _plateau_ended(path: Path) -> bool:
    newest = checkpoint.latest(path)
    if newest is None:
        return False
    try:
        return checkpoint.progress_of(checkpoint.state_of(newest), newest / checkpoint.STATE).plateau.ended
    except InputError:  # reported by _checkpoints
        return False


# --- what it was trained on -------------------------------------------------------------------------------------------


def _classes_of(path: Path) -> list[str] | None:
    try:
        return list(trained.classes_of(path))
    except (OSError, InputError):
        return None


def _classes(path: Path, recipe: Recipe) -> list[Finding]:
    # Two class orders: the labels are positions in this list, and nothing else says which is which.
    classes = _classes_of(path)
    if classes is None:
        return [
            error(
                f"{path / 'classes.json'} is missing or damaged", "copy the list of classes from the dataset's manifest"
            )
        ]
    if len(classes) != recipe.network.classes:
        return [
            error(
                f"classes.json has {len(classes)} classes, the network {recipe.network.classes}",
                "copy the list of classes of the dataset it was trained on",
            )
        ]
    return [ok(f"classes: {len(classes)}, {some([str(name) for name in classes])}")]


def _preparation(path: Path, recipe: Recipe) -> list[Finding]:
    folder = path / "preparation"
    again = f"copy mean.npy and colour.json from the dataset it was trained on into {folder}"
    try:
        mean, covariance, eigenvalues, eigenvectors = trained.statistics_of(path)
    except (OSError, InputError) as problem:
        return [error(str(problem).partition(";")[0], again)]
    side = recipe.image_size
    if len(mean) < side:
        return [
            error(f"{folder / 'mean.npy'} is {list(mean.shape)}, must be [{side}, {side}, 3] or larger", again),
        ]
    # 0-1 or 0-255: weights learned on one scale are useless on the other.
    if float(mean.max()) <= 1.5:
        return [error(f"{folder / 'mean.npy'} goes up to {mean.max():.2f}: a mean of pixels on 0-1, not 0-255", again)]
    if float(mean[..., 2].mean()) > float(mean[..., 0].mean()) + 10:
        fix = "if the training images were BGR (OpenCV), prepare them again as RGB and train again"
        return [warning("channel order: the mean image is bluer than red, which in photographs is rare", fix)]
    return [
        ok(f"preparation: mean image on 0-255 ({mean.mean():.0f})"),
        *colour(eigenvalues, eigenvectors, covariance, folder),
    ]


def _data(path: Path, recipe: Recipe) -> list[Finding]:
    try:
        remembered = read_json(path / "data.json")
        folder = Path(remembered["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return [
            warning(f"{path / 'data.json'} is missing: what it was trained on is not known", "say --data DIR to go on")
        ]
    if not folder.is_dir() and _imported(path):
        return [ok("its weights are imported; predict works without data, for all else say --data DIR")]
    if not folder.is_dir():
        return [ok(f"its data, {folder}, is not there any more; predict works without, to go on say --data DIR")]
    try:
        opened = prepared.open(folder)
    except InputError as problem:
        return [warning(*parts(problem, "say --data DIR"))]
    fingerprint = (remembered.get("source") or {}).get("fingerprint")
    if list(opened.classes) != _classes_of(path):
        return [
            error(
                f"{folder} has other classes than the run, or in another order",
                "go on with the data it began with; for other classes: alexnet train --from RUN --data DIR",
            )
        ]
    if fingerprint != opened.manifest["source"]["fingerprint"]:
        fix = "use the data it began with, or the two halves of the run are not one"
        return [warning(f"{folder} was prepared from other images than when the run began", fix)]
    return [ok(f"data: {folder}, the same as when it began")]


def _imported(path: Path) -> str | None:
    """The file that a run's first weights were imported from."""
    try:
        return str(read_json(path / "data.json")["imported"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions(lines: list[dict[str, Any]]) -> list[Finding]:
    # "It came out differently": equal bits are kept within one version of torch, on one kind of device.
    starts = [line for line in lines if line.get("kind") == "start"]
    wrote = sorted({str(line.get("torch")) for line in starts})
    if not wrote:
        return []
    if wrote != [torch.__version__]:
        fix = f"fine for predicting; for equal bits install torch {wrote[-1].partition('+')[0]}"
        return [warning(f"torch {', '.join(wrote)} trained it, torch {torch.__version__} is here", fix)]
    devices = sorted({str(line.get("device")) for line in starts})
    threads = sorted({str(line.get("threads")) for line in starts})
    text = f"trained with torch {wrote[0]} on {', '.join(devices)}, {', '.join(threads)} threads"
    return [ok(text) if len(devices) == 1 else warning(text, "equal bits are kept on one kind of device only")]
