"""A prepared dataset: is it whole, are its pixels what networks expect, do its splits share images?"""

import hashlib
from pathlib import Path

import numpy as np

from alexnet.data import prepared
from alexnet.data.prepared import Prepared, Split
from alexnet.doctor import machine
from alexnet.doctor.finding import Finding, error, gigabytes, ok, parts, some, warning
from alexnet.doctor.source import judge_counts
from alexnet.errors import InputError
from alexnet.training.recipe import recipes

SAMPLE = 200
"""Images whose pixels are read."""
COMPARED = 4000, 1000
"""Training and validation images that are compared with each other."""
CHECKED = 4 << 30
"""Bytes up to which all checksums are computed: some ten seconds."""


def examine(path: Path) -> list[Finding]:
    """Findings about the prepared dataset in `path`."""
    try:
        opened = prepared.open(path)
    except InputError as problem:
        return [error(*parts(problem, "prepare it again"))]
    findings = [
        ok(f"a prepared dataset of {opened.size}×{opened.size} images from {opened.manifest['source']['description']}")
    ]
    findings += _whole(opened)
    if any(finding.level == "error" for finding in findings):
        return findings  # pixels at the wrong places say nothing
    findings += [*_skipped(opened), *_classes(opened)]
    split = opened.split("train")
    findings += [*_pixels(opened, split), *_loading(opened), *_shared(opened)]
    findings += colour(opened.eigenvalues, opened.eigenvectors, opened.covariance, opened.path)
    return findings + _recipes(opened)


def _whole(opened: Prepared) -> list[Finding]:
    # A copy that stopped half-way, a disk that lied.
    size = _bytes(opened)
    if size <= CHECKED:
        problems = opened.check()
        if problems:
            return [error(*parts(problem, "delete the dataset and prepare again")) for problem in problems[:10]]
        return [ok("whole: sizes, labels and checksums are those of the manifest")]
    try:
        for name in opened.splits:
            file = opened.path / name / "images.bin"
            wanted = opened.manifest["splits"][name]["images"] * opened.size**2 * 3
            if file.stat().st_size != wanted:
                fix = "delete it and prepare again"
                return [error(f"{file} has {file.stat().st_size:,} bytes, not {wanted:,}", fix)]
            labels = opened.split(name).labels
            if labels.min() < 0 or labels.max() >= len(opened.classes):
                return [
                    error(f"{opened.path / name}: labels go from {labels.min()} to {labels.max()}", "prepare again")
                ]
    except (OSError, InputError) as problem:
        return [error(str(problem), "delete the dataset and prepare again")]
    fix = f"alexnet data {opened.path} checks them all"
    return [
        Finding(
            "ok", f"sizes and labels are right; {gigabytes(size)} are too much to compute the checksums of here", fix
        )
    ]


def _bytes(opened: Prepared) -> int:
    return sum(part["images"] for part in opened.manifest["splits"].values()) * opened.size**2 * 3


def _skipped(opened: Prepared) -> list[Finding]:
    skipped = [item["file"] for part in opened.manifest["splits"].values() for item in part["skipped"]]
    if not skipped:
        return []
    return [
        warning(
            f"{len(skipped):,} files were skipped as unreadable: {some(skipped)}",
            f"the reasons are in {opened.path / 'manifest.json'}; mend the files and prepare again where it matters",
        )
    ]


def _classes(opened: Prepared) -> list[Finding]:
    findings: list[Finding] = []
    for name in opened.splits:
        counts = dict(zip(opened.classes, opened.manifest["splits"][name]["per_class"], strict=True))
        empty = [label for label, count in counts.items() if not count]
        if empty:
            findings.append(
                warning(
                    f"{len(empty)} of {len(counts)} classes have no images in {name}: {some(empty)}",
                    "add images of them to the source and prepare again, or leave the class out",
                )
            )
        if name == "train":
            findings += judge_counts(counts)
    if not {"val", "test"} & set(opened.splits):
        findings.append(ok("no val split: train holds out a tenth of each class for validation (--hold-out)"))
    return findings


def _pixels(opened: Prepared, split: Split) -> list[Finding]:
    findings: list[Finding] = []
    chosen = np.unique(np.linspace(0, len(split.labels) - 1, SAMPLE).astype(np.int64))
    images = np.asarray(split.images[chosen])
    looked = f"({len(images)} images looked at)"
    red, green, blue = (float(value) for value in images.mean(axis=(0, 1, 2), dtype=np.float64))
    mean = f"{red:.0f}, {green:.0f}, {blue:.0f}"

    # 0-1 or 0-255: pixels divided by 255 and then stored as bytes are zeros and ones, and the loss stays at ln(classes).
    if images.max() <= 1:
        findings.append(
            error(
                f"pixel scale: all pixels are 0 or 1 {looked}; they were divided by 255 before they were stored",
                "give prepare the images on the scale 0-255",
            )
        )
    elif not 20 <= (red + green + blue) / 3 <= 235:
        findings.append(
            warning(
                f"pixel scale: the mean of R, G, B is {mean} {looked}; photographs have some 90 to 150 of 255",
                "look at the contact sheet (alexnet data DIR); right for scans, drawings and the sky, wrong for photographs",
            )
        )
    else:
        findings.append(ok(f"pixel scale: 0-255, mean of R, G, B {mean} {looked}"))

    # RGB or BGR: photographs are warmer than grey on average (ImageNet: 123, 117, 104).
    if blue > red + 10:
        findings.append(
            warning(
                f"channel order: blue is brighter than red (mean {mean}), which in photographs is rare; is it BGR, from OpenCV?",
                "if the contact sheet's colours are wrong, swap the channels (images[..., ::-1]) and prepare again",
            )
        )
    else:
        findings.append(ok(f"channel order: RGB by its mean ({mean})"))
    if (images == images[..., :1]).all():
        findings.append(
            warning(
                f"every pixel is grey {looked}: no colour kernels will be learned",
                "nothing to mend; train with --augmentation.colour none, as colour noise would only tint them",
            )
        )
    blank = [split.files[int(chosen[at])] for at in np.flatnonzero(np.ptp(images, axis=(1, 2, 3)) == 0)]
    if blank:
        findings.append(
            warning(f"{len(blank)} images are of one colour: {some(blank)} {looked}", "remove them from the source")
        )

    # A mean image of other data: copied by hand, or prepared on another scale.
    if abs(float(opened.mean.mean(dtype=np.float64)) - (red + green + blue) / 3) > 30:
        findings.append(
            error(
                f"mean.npy has mean {opened.mean.mean():.1f}, the images have {(red + green + blue) / 3:.1f} {looked}",
                f"the two are not of the same data: delete {opened.path} and prepare again",
            )
        )
    return findings


def colour(values: np.ndarray, vectors: np.ndarray, covariance: np.ndarray | None, where: Path) -> list[Finding]:
    """Whether principal components of RGB (values [3], vectors [3, 3] in columns) are what the colour noise needs."""
    # Colour PCA with transposed vectors: noise in wrong directions, which looks like noise all the same.
    again = f"{where / 'colour.json'} is not as prepare wrote it: prepare again"
    if covariance is not None:
        scale = max(float(np.abs(covariance).max()), 1e-9)
        if np.abs(covariance @ vectors - vectors * values).max() > 1e-3 * scale:
            transposed = np.abs(covariance @ vectors.T - vectors.T * values).max() <= 1e-3 * scale
            what = "are transposed: a vector is a column" if transposed else "are not the covariance's"
            return [error(f"colour noise: the eigenvectors {what}", again)]
    if (np.diff(values) > 0).any() or (values < 0).any():
        return [
            error(f"colour noise: the eigenvalues {values.round(1).tolist()} are not descending and positive", again)
        ]
    roots = np.sqrt(values)
    text = f"√λ = {roots[0]:.1f}, {roots[1]:.1f}, {roots[2]:.1f} (ImageNet: 121.8, 37.1, 19.7)"
    if roots[0] < 5:
        fix = "look at the images; pixels on 0-1 have this too, and train with --augmentation.colour none if they are right"
        return [warning(f"colour noise: the pixels hardly vary, {text}", fix)]
    # In photographs light and dark vary most, all channels together.
    if abs(vectors[:, 0].sum()) / 3**0.5 < 0.8:
        fix = "right for coloured drawings or stained tissue; for photographs look at the contact sheet"
        return [warning(f"colour noise: the first component is not light against dark, {text}", fix)]
    return [ok(f"colour noise: {text}")]


def _loading(opened: Prepared) -> list[Finding]:
    # Slow loading starves the accelerator: a memory map is as fast as memory only where it fits.
    size, free = _bytes(opened), machine.memory_free()
    if free is None or size <= free:
        return [ok(f"loading: the {gigabytes(size)} of pixels fit in memory after the first epoch")]
    return [
        warning(
            f"loading: {gigabytes(size)} of pixels are more than the {gigabytes(free)} of free memory: every epoch reads the disk",
            "keep the dataset on a local solid-state disk, never on a network disk",
        )
    ]


def _shared(opened: Prepared) -> list[Finding]:
    # An error that is too good: validation images among the training images; or one image under two labels.
    train = opened.split("train")
    taken = _evenly(len(train.labels), COMPARED[0])
    by_key: dict[bytes, list[int]] = {}
    for index in taken:
        by_key.setdefault(_probe(train, index), []).append(index)
    looked = f"{len(taken):,} training images looked at"
    findings: list[Finding] = []
    doubles: dict[str, int] = {}
    conflicts, copies = [], 0
    for indices in by_key.values():
        if len(indices) == 1:
            continue
        doubles.clear()
        for index in indices[:100]:
            first = doubles.setdefault(_checksum(train, index), index)
            copies += first != index
            if train.labels[first] != train.labels[index]:
                conflicts.append(f"{train.files[first]} = {train.files[index]}")
    if conflicts:
        fix = "decide what they are and remove the other copy"
        findings.append(warning(f"the same image under two labels: {some(conflicts)} ({looked})", fix))
    elif copies > len(taken) / 100:
        findings.append(
            warning(f"{copies:,} of the {looked} are copies of another", "remove the copies from the source")
        )
    if not {"val", "test"} & set(opened.splits):
        return findings
    val = opened.split("val")
    leaked = []
    compared = _evenly(len(val.labels), COMPARED[1])
    for index in compared:
        for candidate in by_key.get(_probe(val, index), [])[:20]:
            if _checksum(val, index) == _checksum(train, candidate):
                leaked.append(f"{val.files[index]} = {train.files[candidate]}")
                break
    looked += f", {len(compared):,} of {val.name}"
    if leaked:
        findings.append(
            warning(
                f"{len(leaked):,} {val.name} images are among the training images: {some(leaked)} ({looked})",
                f"the error on {val.name} is too low by them; remove them from train",
            )
        )
    else:
        findings.append(ok(f"no image of {val.name} is among the training images ({looked})"))
    return findings


def _evenly(number: int, most: int) -> list[int]:
    return [int(index) for index in np.unique(np.linspace(0, number - 1, min(number, most)).astype(np.int64))]


def _probe(split: Split, index: int) -> bytes:
    step = max(1, split.images.shape[1] // 8)
    return split.images[index, step // 2 :: step, step // 2 :: step].tobytes()


def _checksum(split: Split, index: int) -> str:
    return hashlib.sha256(split.images[index].tobytes()).hexdigest()


def _recipes(opened: Prepared) -> list[Finding]:
    fitting = [recipe for recipe in recipes.values() if recipe.image_size == opened.size]
    if not fitting:
        sizes = sorted({recipe.image_size for recipe in recipes.values()})
        return [
            warning(
                f"no named recipe is for images of {opened.size}×{opened.size}; they are for {', '.join(map(str, sizes))}",
                f"prepare with --size {sizes[-1]}, or train with --image-size {opened.size} and a --network.input-size below",
            )
        ]
    largest = max(fitting, key=machine.batch_memory)
    return [
        ok(f"recipes for images of {opened.size}×{opened.size}: {', '.join(recipe.name for recipe in fitting)}"),
        *machine.memory(largest),
    ]
