"""Images that are not yet prepared are examined: their layout, their classes, and a sample of the files."""

import io
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.image import MAX_PIXELS, Unreadable, to_square
from alexnet.data.sources import open_source
from alexnet.data.sources.devkit import read_devkit
from alexnet.data.sources.folders import ClassFolders, image_files, splits_of, subfolders
from alexnet.data.sources.source import DEVKIT, TRAIN_TAR, VAL_TAR, Item, Source, read_file
from alexnet.doctor import machine
from alexnet.doctor.finding import Finding, error, ok, refused, warning
from alexnet.errors import InputError
from alexnet.words import some

SAMPLE = 200
"""The number of files that are opened."""
HANDLED = ("of another format than their name says", "CMYK", "turned by EXIF", "with transparency (laid on white)")
"""Kinds of unusual files that are prepared as any other."""
FEW = 30
"""Images of a class below which training from nothing is hopeless."""


def examine(path: Path) -> Iterator[Finding]:
    """Yield findings about a folder, an archive folder, a table or an array file that `alexnet prepare` would be given."""
    try:
        source = open_source(str(path))
        passed = source.passed_over
    except InputError as problem:
        yield _refused(path, problem)
        yield from _files(_any_files(path) if path.is_dir() else iter(()))
        return
    yield ok(f"a source that alexnet prepare takes: {source.description}, {len(source.classes)} classes")
    if (path / TRAIN_TAR).exists() and not (path / VAL_TAR).exists():
        yield warning(
            f"{path} has no {VAL_TAR}, so training images will be held out for validation",
            "put it there (6.3 GB) to measure what the paper measured",
        )
    if isinstance(source, ClassFolders):
        yield from _layout(source)
        yield from judge_counts(_counts(source, "train"))
    if passed:
        yield warning(f"passed over: {passed}", passed.fix) if passed.fix else ok(f"passed over: {passed}")
    yield from _class_order(path, source)
    yield from _files(_sampled(source))
    counts = [source.count(split) for split in source.splits]
    images = None if None in counts else sum(count or 0 for count in counts)
    yield machine.disk(images, source.default_size, Path.cwd())


def _refused(path: Path, problem: InputError) -> Finding:
    if path.suffix == ".npz":
        # 0-1 or 0-255: arrays that were made for another program.
        return error(
            str(problem),
            "store images as uint8 [N, H, W, 3] on 0-255 (pixels on 0-1 times 255, rounded), labels as integers [N] from 0",
        )
    return refused(problem, "see alexnet prepare --help for what a SOURCE can be")


def _counts(source: ClassFolders, split: str) -> dict[str, int]:
    """Return the number of images of a split by class folder."""
    return {name: part.items or 0 for name, part in zip(source.folder_names, source.parts(split), strict=True)}


def _layout(source: ClassFolders) -> Iterator[Finding]:
    loose = source.passed_over.counts.get("file", {}).get("outside the class folders", 0)
    if loose:
        yield warning(
            f"{source.root} has {loose:,} images beside its class folders, which belong to no class",
            "move them into their class folders; prepare leaves them out",
        )
    nested = [name for name in source.folder_names if subfolders(source.folders["train"] / name)]
    if nested:
        yield warning(
            f"{len(nested)} class folders have folders in them ({some(nested)}): all images below are one class",
            "if the inner folders are the classes, move them up, or give the folder that holds them",
        )
    folders = splits_of(source.root)
    for split, folder in folders.items():
        if split not in source.folders:
            yield ok(f"{folder} has no class folders, so it is left out: its images have no labels")
        elif split == "val" and source.truth:
            yield ok(f"{folder} is flat, and {DEVKIT} beside it has its labels, as ILSVRC-2012 comes")
        elif absent := [name for name, number in _counts(source, split).items() if not number]:
            yield warning(
                f"{folder} has no images of {len(absent)} of the {len(source.classes)} classes: {some(absent)}",
                "its error says nothing about them; move some of their images there",
            )
    if len(folders) == 1:
        yield ok("no val/ folder: train holds out a tenth of each class for validation (--hold-out)")


def judge_counts(counts: dict[str, int]) -> Iterator[Finding]:
    """Yield warnings of too few images and of classes of very different sizes; `counts` are the training images by class."""
    present = {name: count for name, count in counts.items() if count}
    if not present:
        return
    low, high = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
    span = f"{present[low]:,} to {present[high]:,} a class"
    yield ok(f"{sum(counts.values()):,} training images in {len(counts)} classes, {span}")
    # The error rate hides it: always saying the large class is right most of the time.
    if present[high] > 10 * present[low]:
        yield warning(
            f"class {high} has {present[high]:,} images, {low} only {present[low]:,}",
            "read the per-class errors of alexnet evaluate, not the total; collect more of the small ones",
        )
    # 60 million weights and a hundred photographs: fine-tuning is what helps.
    few = [name for name, count in present.items() if count < FEW]
    if few:
        yield warning(
            f"{len(few)} classes have fewer than {FEW} images: {some(few)}",
            "start from a trained network: alexnet train --from starter --data DIR",
        )


def _class_order(path: Path, source: Source) -> Iterator[Finding]:
    names = list(source.classes)
    # Two class orders: labels by sorted WordNet id here and everywhere, 1..1000 of the devkit in its ground truth file.
    if names and all(re.match(r"n\d{8}\b", name) for name in names):
        yield from _wordnet_order(path, source, [name[:9] for name in names])
    # "10" sorts before "2": label 2 is then not class 2.
    elif names and all(name.isdigit() for name in names) and names != sorted(names, key=int):
        yield warning(
            f"class order: folder names are sorted as text, so the labels 0, 1, 2 are {', '.join(names[:3])}",
            "where the numbers matter, give them the same length: 01, 02, ... 10",
        )
    elif isinstance(source, ClassFolders):
        yield ok(f"class order: {some(names)}, by name")


def _wordnet_order(path: Path, source: Source, wnids: list[str]) -> Iterator[Finding]:
    text = "class order: sorted WordNet ids, as in torchvision, timm and Caffe"
    try:
        devkit = read_devkit(path) if path.is_dir() else None
    except InputError as problem:
        yield refused(problem, "download the development kit again", "warning")  # prepare goes without
        return
    if devkit is None:
        yield ok(text)
        return
    ids = {wnid: number for number, wnid in devkit.wnid_of_id.items()}
    moved = sum(ids.get(wnid) != label + 1 for label, wnid in enumerate(wnids))
    yield ok(
        f"{text}; the development kit numbers {moved} of the {len(wnids)} classes otherwise, and its ground truth is"
        " brought into this order by WordNet id"
    )
    # In archives `prepare` looks at the numbers.
    stated = devkit.train_images
    others = [
        f"{wnid} has {part.items:,}, not {stated[wnid]:,}"
        for wnid, part in zip(wnids, source.parts("train"), strict=True)
        if part.items is not None and part.items != stated.get(wnid, part.items)
    ]
    if others:
        yield warning(
            f"{len(others)} classes have other numbers of training images than the development kit says: {some(others)}",
            "unpack their tars again, unless you have left images out yourself",
        )


def _sampled(source: Source) -> Iterator[Item]:
    """Yield up to SAMPLE items: of folders some of every class (or of SAMPLE classes), of streams the first."""
    if isinstance(source, ClassFolders):
        step = -(-len(source.folder_names) // SAMPLE)
        labels = range(0, len(source.folder_names), step)
        for label in labels:
            yield from islice(source.part("train", label), max(1, SAMPLE // len(labels)))
        return
    for split in source.splits:
        yield from islice(source.items(split), SAMPLE // len(source.splits))


def _any_files(root: Path) -> Iterator[Item]:
    for name, entry in islice(image_files(str(root), ""), SAMPLE):
        yield Item(name.lstrip("/"), 0, partial(read_file, entry.path))


def _files(items: Iterator[Item]) -> Iterator[Finding]:
    looked, odd = 0, defaultdict[str, list[str]](list)
    try:
        for item in items:
            looked += 1
            for kind, name in _oddities(item):
                odd[kind].append(name)
    except InputError as problem:  # what only reading shows: a cut-off archive
        yield refused(problem, "get it again")
        return
    if looked:
        yield from _judge(looked, odd)


def _oddities(item: Item) -> Iterator[tuple[str, str]]:
    """Yield each kind of unusual file that a file is, with its name for messages."""
    name = item.name
    try:
        content = item.read()
    except OSError as problem:
        yield "unreadable", f"{name} ({problem.strerror or problem})"
        return
    if isinstance(content, np.ndarray):
        if min(content.shape[:2]) < 64:
            yield "tiny", name
        if content.ndim == 2:
            yield "grey", name
        return
    # Whatever goes wrong here, to_square says what is wrong with it; with broken EXIF blocks nothing is.
    with suppress(Exception), Image.open(io.BytesIO(content)) as image:
        suffix = os.path.splitext(name)[1].lower()
        jpeg, png = suffix in (".jpg", ".jpeg", ".jpe", ".jfif"), suffix == ".png"
        if (jpeg and image.format not in ("JPEG", "MPO")) or (png and image.format != "PNG"):
            yield "of another format than their name says", f"{name} (a {image.format})"
        if image.mode == "CMYK":
            yield "CMYK", name
        if image.mode in ("1", "L", "LA") or image.mode.startswith("I"):
            yield "grey", name
        if image.has_transparency_data:
            yield "with transparency (laid on white)", name
        if min(image.size) < 64:
            yield "tiny", name
        small = image.width * image.height <= MAX_PIXELS
        if small and image.format in ("JPEG", "MPO", "PNG", "TIFF", "WEBP") and image.getexif().get(0x0112, 1) != 1:
            yield "turned by EXIF", name
    try:
        to_square(content, 256)
    except Unreadable as problem:
        yield "unreadable", f"{name} ({problem})"


def _judge(looked: int, odd: dict[str, list[str]]) -> Iterator[Finding]:
    sample = f"of {looked} files looked at"
    unreadable, grey, tiny = (odd.get(kind, []) for kind in ("unreadable", "grey", "tiny"))
    # The odd files inside ImageNet, and in everybody's own folder: PNG called JPEG, CMYK, grey, truncated.
    if unreadable:
        finding = error if len(unreadable) / looked > 0.01 else warning
        yield finding(
            f"{len(unreadable)} {sample} cannot be read: {some(unreadable)}",
            "mend or remove them; prepare skips and lists them, and stops if they are more than 1% (--max-bad)",
        )
    handled = ", ".join(f"{len(odd[kind])} {kind}" for kind in HANDLED if kind in odd)
    if handled:
        yield ok(f"{sample}: {handled}; prepare makes upright RGB of them all")
    if len(grey) > looked / 2:
        yield warning(
            f"{len(grey)} {sample} are greyscale: three equal channels, so no colour kernels will be learned",
            "nothing to mend; --augmentation.colour none, as colour noise would only tint them",
        )
    elif grey:
        yield ok(f"{len(grey)} {sample} are greyscale; they become three equal channels")
    if len(tiny) > looked / 10:
        yield warning(
            f"{len(tiny)} {sample} have a side under 64 pixels ({some(tiny)}) and would be enlarged to 256",
            "prepare them small, such as alexnet prepare --size 32 (recipe cifar10) or --size 64 (recipe demo)",
        )
    elif tiny:
        yield ok(f"{len(tiny)} {sample} have a side under 64 pixels: {some(tiny)}")
    if not (unreadable or handled or grey or tiny):
        yield ok(f"all {looked} files looked at are whole and ordinary")
