"""A prepared dataset is examined: whether it is whole, its pixels are as networks expect, and recipes take it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alexnet.data import prepared
from alexnet.data.prepared import Prepared, Split
from alexnet.data.sources.source import only_class
from alexnet.doctor import machine
from alexnet.doctor.finding import Finding, error, gigabytes, ok, refused, warning
from alexnet.doctor.source import judge_counts
from alexnet.errors import InputError
from alexnet.memory import memory_free
from alexnet.run.memory import batch_memory
from alexnet.run.recipes import recipes
from alexnet.words import some

SAMPLE = 200
"""The number of images whose pixels are read."""
CHECKED = 4 << 30
"""Bytes up to which all checksums are computed: some ten seconds."""


def examine(path: Path) -> Iterator[Finding]:
    """Yield findings about the prepared dataset in `path`."""
    try:
        opened = prepared.open(path)
    except InputError as problem:
        yield refused(problem, "prepare it again")
        return
    yield ok(
        f"a prepared dataset of {opened.size}×{opened.size} images from {opened.manifest['source']['description']}"
    )
    whole = list(_whole(opened))
    yield from whole
    if any(finding.level == "error" for finding in whole):
        return  # pixels at the wrong places say nothing
    yield from _skipped(opened)
    yield from _classes(opened)
    yield from _pixels(opened.split("train"))
    yield from _loading(opened)
    yield from colour(opened.eigenvalues, opened.eigenvectors, opened.covariance, opened.path)
    yield from _recipes(opened)


def _whole(opened: Prepared) -> Iterator[Finding]:
    # A copy that stopped half-way, a disk that lied.
    size, fix = opened.image_bytes, "delete the dataset and prepare again"
    if size <= CHECKED:
        problems = opened.check()
        yield from (refused(problem, fix) for problem in problems[:10])
        if not problems:
            yield ok("whole: sizes, labels and checksums are those of the manifest")
        return
    try:
        for name in opened.splits:
            opened.split(name)
    except InputError as problem:
        yield refused(problem, fix)
    else:
        text = f"its {gigabytes(size)} are too much to compute the checksums of here"
        yield ok(text, f"alexnet data {opened.path} checks them all")


def _skipped(opened: Prepared) -> Iterator[Finding]:
    skipped = [item["file"] for part in opened.manifest["splits"].values() for item in part["skipped"]]
    if skipped:
        yield warning(
            f"skipped as unreadable, {len(skipped):,}: {some(skipped)}",
            f"the reasons are in {opened.path / 'manifest.json'}; mend the files and prepare again where it matters",
        )


def _classes(opened: Prepared) -> Iterator[Finding]:
    for name in opened.splits:
        counts = dict(zip(opened.classes, opened.manifest["splits"][name]["per_class"], strict=True))
        empty = [label for label, count in counts.items() if not count]
        if empty:
            yield warning(
                f"{len(empty)} of {len(counts)} classes have no images in {name}: {some(empty)}",
                "add images of them to the source and prepare again, or leave the class out",
            )
        if name == "train":
            if len(counts) == 1:
                yield error(only_class(opened.classes[0]), "add the images of another class, and prepare again")
            yield from judge_counts(counts)
    if not {"val", "test"} & set(opened.splits):
        yield ok("no val split: train holds out a tenth of each class for validation (--hold-out)")


def _pixels(split: Split) -> Iterator[Finding]:
    chosen = np.unique(np.linspace(0, len(split.labels) - 1, SAMPLE).astype(np.int64))
    images = np.asarray(split.images[chosen])
    sample = f"({len(images)} images looked at)"
    red, green, blue = (float(value) for value in images.mean(axis=(0, 1, 2), dtype=np.float64))
    mean = f"{red:.0f}, {green:.0f}, {blue:.0f}"

    # 0-1 or 0-255: pixels divided by 255 and then stored as bytes are zeros and ones, and the loss stays at ln(classes).
    if images.max() <= 1:
        yield error(
            f"pixel scale: all pixels are 0 or 1 {sample}; they were divided by 255 before they were stored",
            "give prepare the images on the scale 0-255",
        )
    elif not 20 <= (red + green + blue) / 3 <= 235:
        yield warning(
            f"pixel scale: the mean of R, G, B is {mean} {sample}; photographs have some 90 to 150 of 255",
            "look at the contact sheet (alexnet data DIR); right for scans, drawings and the sky, wrong for photographs",
        )
    else:
        yield ok(f"pixel scale: 0-255, mean of R, G, B {mean} {sample}")

    # RGB or BGR: photographs are warmer than grey on average (ImageNet: 123, 117, 104).
    if blue > red + 10:
        yield warning(
            f"channel order: blue is brighter than red (mean {mean}), which in photographs is rare; is it BGR, from OpenCV?",
            "if the contact sheet's colours are wrong, swap the channels (images[..., ::-1]) and prepare again",
        )
    else:
        yield ok(f"channel order: RGB by its mean ({mean})")


def colour(values: np.ndarray, vectors: np.ndarray, covariance: np.ndarray | None, where: Path) -> Iterator[Finding]:
    """Yield whether principal components of RGB (values [3], vectors [3, 3] in columns) are as the colour noise needs them."""
    # Colour PCA with transposed vectors: noise in wrong directions, which looks like noise all the same.
    again = f"{where / 'colour.json'} is not as prepare wrote it: prepare again"
    if covariance is not None:
        scale = max(float(np.abs(covariance).max()), 1e-9)
        if np.abs(covariance @ vectors - vectors * values).max() > 1e-3 * scale:
            transposed = np.abs(covariance @ vectors.T - vectors.T * values).max() <= 1e-3 * scale
            text = "are transposed: a vector is a column" if transposed else "are not the covariance's"
            yield error(f"colour noise: the eigenvectors {text}", again)
            return
    if (np.diff(values) > 0).any() or (values < 0).any():
        yield error(f"colour noise: the eigenvalues {values.round(1).tolist()} are not descending and positive", again)
    else:
        yield ok("colour noise: √λ = {:.1f}, {:.1f}, {:.1f} (ImageNet: 121.8, 37.1, 19.7)".format(*np.sqrt(values)))


def _loading(opened: Prepared) -> Iterator[Finding]:
    # Slow loading starves the accelerator: files are as fast as memory only where they fit into it.
    size, free = opened.image_bytes, memory_free()
    if free is None or size <= free:
        yield ok(f"loading: the {gigabytes(size)} of pixels fit in memory after the first epoch")
    else:
        yield warning(
            f"loading: {gigabytes(size)} of pixels are more than the {gigabytes(free)} of free memory: every epoch reads the disk",
            "keep the dataset on a local solid-state disk, never on a network disk",
        )


def _recipes(opened: Prepared) -> Iterator[Finding]:
    fitting = [recipe for recipe in recipes.values() if recipe.image_size <= opened.size]
    size = f"{opened.size}×{opened.size}"
    if not fitting:
        least = min(recipe.image_size for recipe in recipes.values())
        yield warning(
            f"images of {size} are too small for every named recipe; the smallest takes {least}",
            f"prepare with --size {least}, or train with --image-size {opened.size} and a --network.input-size not above it",
        )
        return
    yield ok(f"recipes that take images of {size}: {', '.join(recipe.name for recipe in fitting)}")
    yield machine.memory(max(fitting, key=batch_memory))
