"""Images that are not yet prepared: their layout, their classes, and a sample of the files themselves."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.image import MAX_PIXELS, Unreadable, to_square
from alexnet.data.sources import open_source
from alexnet.data.sources.devkit import Devkit, read_devkit
from alexnet.data.sources.folders import ClassFolders, image_files, splits_of, subfolders, visible
from alexnet.data.sources.passed import is_a, is_image
from alexnet.data.sources.source import DEVKIT, TRAIN_TAR, VAL_TAR, Item, Source, read_file
from alexnet.doctor import machine
from alexnet.doctor.finding import Finding, error, ok, parts, some, warning
from alexnet.errors import InputError

SAMPLE = 200
"""Files that are opened."""
LISTED = 300_000
"""Files that are counted: listing the whole of ImageNet on a network disk takes minutes."""
FEW = 30
"""Images of a class below which training from nothing is hopeless."""


def examine(path: Path) -> list[Finding]:
    """Findings about a folder, an archive folder, a table or an array file that `alexnet prepare` would be given."""
    findings: list[Finding] = []
    tree = None
    if (path / TRAIN_TAR).exists() or (path / VAL_TAR).exists():
        if not (path / VAL_TAR).exists():
            what = f"{path} has no {VAL_TAR}, so training images will be held out for validation"
            findings.append(warning(what, "put it there (6.3 GB) to measure what the paper measured"))
    elif path.is_dir() and not any(path.glob("*.parquet")) and not any(path.glob("data/*.parquet")):
        with suppress(InputError):  # which open_source raises again
            tree = _Tree.of(path)
            findings += [*_layout(tree), *judge_counts(tree.counts("train"), tree.about)]
    try:
        source = open_source(str(path))
        passed = _passed(source, tree is None or tree.whole)
    except InputError as problem:
        return [*findings, _refused(path, problem), *_files(_any_files(path) if path.is_dir() else iter(()))]
    findings += passed
    findings.insert(0, ok(f"a source that alexnet prepare takes: {source.description}, {len(source.classes)} classes"))
    findings += [*_class_order(path, source), *_files(_sampled(source))]
    images = tree.images if tree else _quick_count(source)
    return findings + machine.disk(images, source.default_size, Path.cwd())


def _refused(path: Path, problem: InputError) -> Finding:
    if path.suffix == ".npz":
        # 0-1 or 0-255: arrays that were made for another program.
        return error(
            str(problem),
            "store images as uint8 [N, H, W, 3] on 0-255 (pixels on 0-1 times 255, rounded), labels as integers [N] from 0",
        )
    return error(*parts(problem, "see alexnet prepare --help for what a SOURCE can be"))


def _quick_count(source: Source) -> int | None:
    counts = [source.count(split) for split in source.splits]
    return None if None in counts else sum(count or 0 for count in counts)


# --- the layout of a folder -------------------------------------------------------------------------------------------


@dataclass
class _Tree:
    """What lies in a folder of images, counted up to LISTED images."""

    root: Path
    folders: dict[str, Path]  # split -> the folder of its class folders
    classes: dict[str, dict[str, int]]  # split -> class folder -> images in it and below
    nested: list[str]  # class folders of train with folders in them
    loose: dict[str, int]  # split -> images beside the class folders
    whole: bool  # False if LISTED ended the count

    @staticmethod
    def of(root: Path) -> "_Tree":
        folders, left = splits_of(root), LISTED
        classes: dict[str, dict[str, int]] = {}
        loose: dict[str, int] = {}
        for split, folder in folders.items():
            loose[split] = sum(is_image(e) for _, e in visible(str(folder)) if is_a(e, "file"))
            classes[split] = {}
            for name in subfolders(folder):
                classes[split][name] = _count(folder / name, left)
                left -= classes[split][name]
        nested = [name for name in classes["train"] if subfolders(folders["train"] / name)]
        return _Tree(root, folders, classes, nested, loose, left > 0)

    def counts(self, split: str) -> dict[str, int]:
        """Images by class folder."""
        return self.classes.get(split, {})

    @property
    def images(self) -> int:
        """Image files of all splits."""
        flat = sum(images for split, images in self.loose.items() if split != "train")
        return flat + sum(images for split in self.classes.values() for images in split.values())

    @property
    def about(self) -> str:
        return "" if self.whole else f" (of the first {LISTED:,} files; the rest was not counted)"


def _count(folder: Path, most: int) -> int:
    """Images in a class folder and below, up to `most`."""
    return sum(1 for _ in islice(image_files(str(folder), folder.name), most))


def _layout(tree: _Tree) -> list[Finding]:
    findings: list[Finding] = []
    root, train = tree.root, tree.classes["train"]

    loose = tree.loose["train"]
    if loose and train:
        findings.append(
            warning(
                f"{tree.folders['train']} has {loose:,} images beside its class folders, which belong to no class",
                "move them into their class folders; prepare leaves them out",
            )
        )
    if tree.nested:
        findings.append(
            warning(
                f"{len(tree.nested)} class folders have folders in them ({some(tree.nested)}): all images below are one class",
                "if the inner folders are the classes, move them up, or give the folder that holds them",
            )
        )

    for split in [name for name in tree.folders if name != "train"]:
        folder, own = tree.folders[split], tree.counts(split)
        if tree.loose[split] and not own:
            if split == "val" and any((root / name).exists() for name in (DEVKIT, f"{DEVKIT}.tar.gz")):
                findings.append(ok(f"{folder} is flat, and {DEVKIT} beside it has its labels, as ILSVRC-2012 comes"))
            elif split == "test":
                findings.append(ok(f"{folder} has no class folders, so it is left out: its images have no labels"))
            continue
        absent = [name for name in train if not own.get(name)]
        if absent and own and tree.whole:
            findings.append(
                warning(
                    f"{folder} has no images of {len(absent)} of the {len(train)} classes: {some(absent)}",
                    "its error says nothing about them; move some of their images there",
                )
            )
    if len(tree.folders) == 1 and train:
        findings.append(ok("no val/ folder: train holds out a tenth of each class for validation (--hold-out)"))
    return findings


def _passed(source: Source, whole: bool) -> list[Finding]:
    """What alexnet prepare will say that it has passed over, and what to do about it."""
    if not whole:
        return [ok(f"more than {LISTED:,} images: what is passed over among them was not counted; prepare says it")]
    passed = source.passed_over
    if not passed:
        return []
    return [warning(f"passed over: {passed}", passed.fix) if passed.fix else ok(f"passed over: {passed}")]


def judge_counts(counts: dict[str, int], about: str = "") -> list[Finding]:
    """Too few images, and classes of very different sizes; `about` says what the counts are of."""
    findings: list[Finding] = []
    present = {name: count for name, count in counts.items() if count}
    if not present:
        return findings
    low, high = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
    span = f"{present[low]:,} to {present[high]:,} a class{about}"
    findings.append(ok(f"{sum(counts.values()):,} training images in {len(counts)} classes, {span}"))
    # The error rate hides it: always saying the large class is right most of the time.
    if present[high] > 10 * present[low]:
        findings.append(
            warning(
                f"class {high} has {present[high]:,} images, {low} only {present[low]:,}{about}",
                "read the per-class errors of alexnet evaluate, not the total; collect more of the small ones",
            )
        )
    # 60 million weights and a hundred photographs: fine-tuning is what helps.
    few = [name for name, count in present.items() if count < FEW]
    if few:
        findings.append(
            warning(
                f"{len(few)} classes have fewer than {FEW} images: {some(few)}{about}",
                "start from a trained network: alexnet train --from RUN --data DIR",
            )
        )
    return findings


# --- the order of classes ---------------------------------------------------------------------------------------------


def _class_order(path: Path, source: Source) -> list[Finding]:
    names = list(source.classes)
    # Two class orders: labels by sorted WordNet id here and everywhere, 1..1000 of the devkit in its ground truth file.
    if names and all(re.match(r"n\d{8}\b", name) for name in names):
        wnids = [name[:9] for name in names]
        what = "class order: sorted WordNet ids, as in torchvision, timm and Caffe"
        try:
            devkit = read_devkit(path) if path.is_dir() else None
        except InputError as problem:
            return [warning(*parts(problem, "download the development kit again"))]  # prepare goes without
        if devkit:
            ids = {wnid: number for number, wnid in devkit.wnid_of_id.items()}
            moved = sum(ids.get(wnid) != label + 1 for label, wnid in enumerate(wnids))
            what += (
                f"; the development kit numbers {moved} of the {len(wnids)} classes otherwise, and its ground truth is"
                " brought into this order by WordNet id"
            )
        return [ok(what), *(_counts(source, wnids, devkit) if devkit else [])]
    # "10" sorts before "2": label 2 is then not class 2.
    if names and all(name.isdigit() for name in names) and names != sorted(names, key=int):
        return [
            warning(
                f"class order: folder names are sorted as text, so the labels 0, 1, 2 are {', '.join(names[:3])}",
                "where the numbers matter, give them the same length: 01, 02, ... 10",
            )
        ]
    return [ok(f"class order: {some(names)}, by name")] if isinstance(source, ClassFolders) else []


def _counts(source: Source, wnids: list[str], devkit: Devkit) -> list[Finding]:
    """Class folders with other numbers of images than the development kit says; of archives, `prepare` looks."""
    told = devkit.train_images
    others = [
        f"{wnid} has {part.items:,}, not {told[wnid]:,}"
        for wnid, part in zip(wnids, source.parts("train"), strict=True)
        if part.items is not None and part.items != told.get(wnid, part.items)
    ]
    if not others:
        return []
    what = f"{len(others)} classes have other numbers of training images than the development kit says: {some(others)}"
    return [warning(what, "unpack their tars again, unless you have left images out yourself")]


# --- the files themselves ---------------------------------------------------------------------------------------------


def _sampled(source: Source) -> Iterator[Item]:
    """Up to SAMPLE items; of folders some of every class (or of SAMPLE classes), of streams the first."""
    if isinstance(source, ClassFolders):
        classes = source.folder_names
        step = -(-len(classes) // SAMPLE)
        each = max(1, SAMPLE // -(-len(classes) // step))
        for label in range(0, len(classes), step):
            folder = source.folders["train"] / classes[label]
            for name, entry in islice(image_files(str(folder), classes[label]), each):
                yield Item(name, label, partial(read_file, entry.path))
        return
    each = SAMPLE // len(source.splits)
    for split in source.splits:
        yield from islice(source.items(split), each)


def _any_files(root: Path) -> Iterator[Item]:
    for name, entry in islice(image_files(str(root), ""), SAMPLE):
        yield Item(name.lstrip("/"), 0, partial(read_file, entry.path))


@dataclass
class _Odd:
    """Names of the sampled files by what is unusual about them."""

    looked: int = 0
    unreadable: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    cmyk: list[str] = field(default_factory=list)
    grey: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    clear: list[str] = field(default_factory=list)
    tiny: list[str] = field(default_factory=list)


def _files(items: Iterator[Item]) -> list[Finding]:
    odd = _Odd()
    try:
        for item in items:
            odd.looked += 1
            _look(item, odd)
    except InputError as problem:  # what only reading shows: a cut-off archive
        return [error(*parts(problem, "get it again"))]
    return _judge(odd) if odd.looked else []


def _look(item: Item, odd: _Odd) -> None:
    try:
        content = item.read()
    except OSError as problem:
        odd.unreadable.append(f"{item.name} ({problem.strerror or problem})")
        return
    if isinstance(content, np.ndarray):
        if min(content.shape[:2]) < 64:
            odd.tiny.append(item.name)
        if content.ndim == 2:
            odd.grey.append(item.name)
        return
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            suffix = os.path.splitext(item.name)[1].lower()
            jpeg = suffix in (".jpg", ".jpeg", ".jpe", ".jfif")
            if (jpeg and image.format not in ("JPEG", "MPO")) or (suffix == ".png" and image.format != "PNG"):
                odd.misnamed.append(f"{item.name} (a {image.format})")
            for names, yes in (
                (odd.cmyk, image.mode == "CMYK"),
                (odd.grey, image.mode in ("1", "L", "LA") or image.mode.startswith("I")),
                (odd.clear, image.has_transparency_data),
                (odd.tiny, min(width, height) < 64),
            ):
                if yes:
                    names.append(item.name)
            if width * height <= MAX_PIXELS and image.format in ("JPEG", "MPO", "PNG", "TIFF", "WEBP"):
                try:
                    if image.getexif().get(0x0112, 1) != 1:
                        odd.turned.append(item.name)
                except Exception:  # broken EXIF blocks raise all sorts of things; prepare reads past them
                    pass
    except Exception:  # to_square says what is wrong with it
        pass
    try:
        to_square(content, 256)
    except Unreadable as problem:
        odd.unreadable.append(f"{item.name} ({problem})")


def _judge(odd: _Odd) -> list[Finding]:
    findings: list[Finding] = []
    of = f"of {odd.looked} files looked at"
    # The odd files inside ImageNet, and in everybody's own folder: PNG called JPEG, CMYK, grey, truncated.
    if odd.unreadable:
        bad = len(odd.unreadable)
        share = bad / odd.looked
        level = error if share > 0.01 else warning
        findings.append(
            level(
                f"{bad} {of} cannot be read: {some(odd.unreadable)}",
                "mend or remove them; prepare skips and lists them, and stops if they are more than 1% (--max-bad)",
            )
        )
    handled = [
        f"{len(names)} {text}"
        for names, text in (
            (odd.misnamed, "of another format than their name says"),
            (odd.cmyk, "CMYK"),
            (odd.turned, "turned by EXIF"),
            (odd.clear, "with transparency (laid on white)"),
        )
        if names
    ]
    if handled:
        findings.append(ok(f"{of}: {', '.join(handled)}; prepare makes upright RGB of them all"))
    if len(odd.grey) > odd.looked / 2:
        findings.append(
            warning(
                f"{len(odd.grey)} {of} are greyscale: three equal channels, so no colour kernels will be learned",
                "nothing to mend; --augmentation.colour none, as colour noise would only tint them",
            )
        )
    elif odd.grey:
        findings.append(ok(f"{len(odd.grey)} {of} are greyscale; they become three equal channels"))
    if len(odd.tiny) > odd.looked / 10:
        findings.append(
            warning(
                f"{len(odd.tiny)} {of} have a side under 64 pixels ({some(odd.tiny)}) and would be enlarged to 256",
                "prepare them small, such as alexnet prepare --size 32 (recipe cifar10) or --size 64 (recipe demo)",
            )
        )
    elif odd.tiny:
        findings.append(ok(f"{len(odd.tiny)} {of} have a side under 64 pixels: {some(odd.tiny)}"))
    if not (odd.unreadable or handled or odd.grey or odd.tiny):
        findings.append(ok(f"all {odd.looked} files looked at are whole and ordinary"))
    return findings
