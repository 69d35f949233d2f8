"""A run folder is examined: its network, whether its checkpoints are whole, how training goes, and its data."""

import math
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from alexnet.data import prepared
from alexnet.doctor import machine
from alexnet.doctor.dataset import colour
from alexnet.doctor.finding import Finding, error, ok, refused, warning
from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.run import checkpoint
from alexnet.run import recipe as recipes
from alexnet.run.checkpoint import Progress
from alexnet.run.folder import CHECKPOINTS, classes_of, remembered_of, statistics_of
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe
from alexnet.words import some


def examine(path: Path) -> Iterator[Finding]:
    """Yield findings about the run folder `path`."""
    try:
        recipe = recipes.read(path)
        recipe.check()
        with torch.device("meta"):  # shapes without values: at once, whatever the size
            model = AlexNet(recipe.network)
    except InputError as problem:
        yield refused(problem, "copy recipe.json from a backup, or train again")
        return
    lines = read_metrics(path)
    yield from which(recipe, model)
    yield from _rates(recipe)
    progress = yield from _checkpoints(path, model)
    yield from _training(path, recipe, lines, progress)
    yield _classes(path, recipe)
    yield from _preparation(path, recipe)
    yield _data(path)
    yield from _versions(lines)
    yield machine.memory(recipe)


def which(recipe: Recipe, model: AlexNet) -> Iterator[Finding]:
    """Yield findings about which network of that name this is, and which normalization."""
    # "Which AlexNet is this?" and "LRN's alpha": the widths, the columns and the coefficients that the name hides.
    network = recipe.network
    parameters = sum(parameter.numel() for parameter in model.parameters())
    columns = "two columns" if network.columns == 2 else "no columns"
    text = f"network {network.name}: {parameters:,} parameters, {columns}, {network.classes} classes"
    yield ok(f"recipe {recipe.name}, {text}, normalization {_normalization(network.normalization_name)}")

    # 224 or 227: an 11×11 window with stride 4 does not come out even on 224.
    first = model.windows["conv1"]
    if first.overhang < 0:
        yield warning(
            f"conv1 leaves {-first.overhang} pixels at the right and bottom unread: {first}",
            f"--network.rounding up (2012), or --network.input-size {first.size + first.stride + first.overhang}",
        )


def _normalization(kind: str) -> str:
    words = {
        "paper": "paper (k 2, alpha 1e-4 times the plain sum; as torch's nn.LocalResponseNorm(5, alpha=5e-4, k=2))",
        "authors-2012": "authors-2012 (k 2, alpha 1e-4 divided by n; as torch's nn.LocalResponseNorm(5, alpha=1e-4, k=2))",
        "caffe": "caffe (k 1, alpha 1e-4 divided by n; as torch's nn.LocalResponseNorm(5, alpha=1e-4, k=1))",
    }
    return words.get(kind, kind)


def _rates(recipe: Recipe) -> Iterator[Finding]:
    # Batch size against rate: .01 belongs to 128.
    ratio = (recipe.full_rate / recipe.batch) / (0.01 / 128)
    if recipe.first_rate == 1.0 and recipe.rule == "paper" and recipe.batch != 128 and not 0.2 <= ratio <= 5:
        yield warning(
            f"rate {recipe.full_rate:g} for batches of {recipe.batch}: the paper has 0.01 for 128",
            f"try --rate {0.01 * (recipe.base_batch or recipe.batch) / 128:.2g}, in proportion to the batch",
        )
    # Bias 1 with a too high rate: units die or the loss is NaN.
    ones = [name for name, row in recipe.network.rows() if row.bias >= 1]
    if ones and recipe.full_rate * max(1.0, recipe.bias_rate) > 0.04:
        yield warning(
            f"biases of {some(ones)} begin at 1 and the rate is {recipe.full_rate:g}: such runs often end in NaN",
            "--rate 0.01, or a network whose biases begin lower (caffe: 0.1)",
        )


def _checkpoints(path: Path, model: AlexNet) -> Generator[Finding, None, Progress | None]:
    """Yield findings about each checkpoint; return the progress in the newest one that can be read."""
    folder = path / CHECKPOINTS
    checkpoints = sorted(folder.glob("step-*"))
    if not checkpoints:
        yield error(f"{path} has no checkpoint", f"train again: alexnet train RECIPE --data DIR --out {path}-again")
        return None
    whole, newest = [], None
    for place in checkpoints:
        problems, progress = _checkpoint(place, model)
        yield from problems
        newest = progress or newest
        whole += [] if problems else [place.name]
    if whole:
        yield ok(f"checkpoints: {', '.join(whole)} are whole, their weights finite, optimiser and rates with them")
    if list(folder.glob(".*.new")):
        yield ok("a checkpoint is being written, or a killed process left half of one, which the next one removes")
    return newest


def _checkpoint(place: Path, model: AlexNet) -> tuple[list[Finding], Progress | None]:
    """What is wrong with a checkpoint, and its progress if that can be read."""
    progress = None
    drop = f"remove {place} to go on from the one before"
    try:
        weights = checkpoint.weights(place)
        state = checkpoint.state_of(place)
        progress = checkpoint.progress_of(state, place / checkpoint.STATE)
        velocities = len(state["optimizer"]["state"])
    except InputError as problem:
        # NaN in the weights stays there for ever.
        diverged = ", and lower the rate (--rate), since it would come to the same" if "NaN" in str(problem) else ""
        return [error(str(problem).partition(";")[0], drop + diverged)], progress
    except (KeyError, TypeError):
        return [error(f"{place / checkpoint.STATE} has no velocities", drop)], progress
    # "module." in checkpoints: saved from inside DataParallel.
    wrapped = [name for name in weights if name.startswith("module.")]
    if wrapped:
        text = f"{place}: weights are called {some(wrapped, 1)}"
        return [error(text, "save model.module.state_dict(), without the prefix")], progress
    problems = []
    for name, tensor in model.state_dict().items():
        if name not in weights or weights[name].shape != tensor.shape:
            shape = list(weights[name].shape) if name in weights else "absent"
            problems.append(error(f"{place}: {name} is {shape}, the recipe's network has {list(tensor.shape)}", drop))
    # Resume that forgets the optimiser: without velocities the error jumps.
    parameters = len(list(model.parameters()))
    if progress.step and velocities < parameters:
        problems.append(error(f"{place}: velocities of only {velocities} of {parameters} weights", drop))
    return problems, progress


def _training(path: Path, recipe: Recipe, lines: list[dict[str, Any]], progress: Progress | None) -> Iterator[Finding]:
    epochs = [line for line in lines if line.get("kind") == "epoch"]
    resume = f"alexnet train --resume {path}"
    if not epochs:
        if imported := remembered_of(path).get("imported"):
            yield ok(f"weights imported from {imported}, not trained further")
        else:
            yield warning("no epoch is finished yet", f"wait, or go on: {resume}")
        return
    last, classes = epochs[-1], recipe.network.classes
    loss, chance = float(last["loss"]), math.log(classes)
    # Loss NaN or stuck at ln(classes): initial values, rate, pixel scale, biases.
    if not all(math.isfinite(float(line["loss"])) for line in lines if "loss" in line):
        yield error(
            f"the loss became NaN or infinite by epoch {last['epoch']}",
            f"begin again with a lower rate (--rate {recipe.rate / 10:g}); look at the data: alexnet doctor DATA",
        )
    elif loss > 0.98 * chance and last["epoch"] >= 2:
        yield warning(
            f"after {last['epoch']} epochs the loss is {loss:.3f}; guessing gives ln({classes}) = {chance:.3f}",
            "larger initial values in the middle (--network.init authors-2012), another --rate, biases of 0;"
            " pixels must be 0-255, and labels in the order of the class names",
        )
    # What accuracy to expect.
    if "validation_top1" in last:
        text = f"epoch {last['epoch']}: loss {loss:.3f}, training error {last['train_error']:.1f}%"
        text += f", validation error {last['validation_top1']:.1f} / {last['validation_top5']:.1f}%"
        yield ok(f"{text}; guessing gives {100 * (1 - 1 / classes):.1f}% top-1")
        if last["train_error"] < 2 and last["validation_top1"] > 30:
            yield warning(
                "the training images are known by heart, and validation is far behind: overfitting",
                "more images, or start from a trained network: alexnet train --from RUN --data DIR",
            )
    if last["epoch"] >= recipe.epochs or (progress and progress.plateau.ended):
        yield ok(f"finished after epoch {last['epoch']}")
    else:
        yield warning(f"{last['epoch']} of {recipe.epochs} epochs are done", f"go on: {resume}")


def _classes_of(path: Path) -> list[str] | None:
    try:
        return list(classes_of(path))
    except (OSError, InputError):
        return None


def _classes(path: Path, recipe: Recipe) -> Finding:
    # Two class orders: the labels are positions in this list, and nothing else says which is which.
    classes = _classes_of(path)
    if classes is None:
        text = f"{path / 'classes.json'} is missing or damaged"
        return error(text, "copy the list of classes from the dataset's manifest")
    if len(classes) != recipe.network.classes:
        text = f"classes.json has {len(classes)} classes, the network {recipe.network.classes}"
        return error(text, "copy the list of classes of the dataset it was trained on")
    return ok(f"classes: {len(classes)}, {some(classes)}")


def _preparation(path: Path, recipe: Recipe) -> Iterator[Finding]:
    folder, side = path / "preparation", recipe.image_size
    again = f"copy mean.npy and colour.json from the dataset it was trained on into {folder}"
    try:
        mean, covariance, eigenvalues, eigenvectors = statistics_of(path)
    except (OSError, InputError) as problem:
        yield error(str(problem).partition(";")[0], again)
        return
    if len(mean) < side:
        yield error(f"{folder / 'mean.npy'} is {list(mean.shape)}, must be [{side}, {side}, 3] or larger", again)
    # 0-1 or 0-255: weights learned on one scale are useless on the other.
    elif float(mean.max()) <= 1.5:
        yield error(f"{folder / 'mean.npy'} goes up to {mean.max():.2f}: a mean of pixels on 0-1, not 0-255", again)
    elif float(mean[..., 2].mean()) > float(mean[..., 0].mean()) + 10:
        fix = "if the training images were BGR (OpenCV), prepare them again as RGB and train again"
        yield warning("channel order: the mean image is bluer than red, which in photographs is rare", fix)
    else:
        yield ok(f"preparation: mean image on 0-255 ({mean.mean():.0f})")
        yield from colour(eigenvalues, eigenvectors, covariance, folder)


def _data(path: Path) -> Finding:
    remembered = remembered_of(path)
    if not isinstance(remembered.get("path"), str):
        text = f"{path / 'data.json'} is missing: what it was trained on is not known"
        return warning(text, "say --data DIR to go on")
    folder = Path(remembered["path"])
    if not folder.is_dir() and remembered.get("imported"):
        return ok("its weights are imported; predict works without data, for all else say --data DIR")
    if not folder.is_dir():
        return ok(f"its data, {folder}, is not there any more; predict works without, to go on say --data DIR")
    try:
        opened = prepared.open(folder)
    except InputError as problem:
        return refused(problem, "say --data DIR", "warning")
    if list(opened.classes) != _classes_of(path):
        return error(
            f"{folder} has other classes than the run, or in another order",
            "go on with the data it began with; for other classes: alexnet train --from RUN --data DIR",
        )
    source = remembered.get("source")
    if not isinstance(source, dict) or source.get("fingerprint") != opened.manifest["source"]["fingerprint"]:
        fix = "use the data it began with, or the two halves of the run are not one"
        return warning(f"{folder} was prepared from other images than when the run began", fix)
    return ok(f"data: {folder}, the same as when it began")


def _versions(lines: list[dict[str, Any]]) -> Iterator[Finding]:
    # "It came out differently": equal bits are kept within one version of torch, on one kind of device.
    starts = [line for line in lines if line.get("kind") == "start"]
    wrote, devices, threads = (
        sorted({str(line.get(key)) for line in starts}) for key in ("torch", "device", "threads")
    )
    if wrote and wrote != [torch.__version__]:
        fix = f"fine for predicting; for equal bits install torch {wrote[-1].partition('+')[0]}"
        yield warning(f"torch {', '.join(wrote)} trained it, torch {torch.__version__} is here", fix)
    elif wrote:
        text = f"trained with torch {wrote[0]} on {', '.join(devices)}, {', '.join(threads)} threads"
        yield ok(text) if len(devices) == 1 else warning(text, "equal bits are kept on one kind of device only")
