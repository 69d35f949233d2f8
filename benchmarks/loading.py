"""Loading: images per second per core, and the share of a training step's time that it takes.

    python benchmarks/loading.py --data PREPARED [--save]

PREPARED is a raw prepared set at 256 (`alexnet prepare`); 1,280 of its images are written once raw and once as JPEGs, and
the peer, torchvision's ImageFolder with a DataLoader of one worker a core, gets the same JPEGs as files. Without --data:
the built-in photographs, enlarged to 256, which are smooth and so decode faster than others.

Per core is the whole machine's rate divided by its cores. The share of the step: (a step with loading - the same step on
a batch in memory) / the latter, in turn, of the `paper` network at batch 128. Its noise is that of a step, several times
the share; so two figures are given that know none: what loading would take if it were never hidden behind the step, and
what the main thread spends on getting a batch. About 2 minutes on 2 cores.
"""

import hashlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure import Peer, Row, arguments, finish, have_peers, in_turn, ratios, row

from alexnet import fast
from alexnet.data import prepared
from alexnet.data.augment import Preparation, training_batch
from alexnet.data.builtin import Photographs
from alexnet.data.jpegs import JpegImages
from alexnet.data.loader import read_ahead
from alexnet.data.prepare import prepare
from alexnet.data.prepared import Prepared, Split
from alexnet.data.sources.arrays import Arrays
from alexnet.data.sources.passed import PassedOver
from alexnet.data.stored import RawImages
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.run.recipes import recipes
from alexnet.run.trained import preparation_of
from alexnet.training import rule

IMAGES, BATCH = 1280, 128
CORES = os.cpu_count() or 1
compiled = fast.compiled


def written(data: str, folder: Path) -> dict[str, Prepared]:
    """The same images as a raw and as a JPEG set."""
    if data:
        split = prepared.open(data).split("train")
        chosen = np.sort(np.random.default_rng(0).permutation(len(split.labels))[:IMAGES])
        arrays = {"train": (split.images[chosen], split.labels[chosen])}
        source = Arrays(Path(data) / "manifest.json", arrays, split.classes, PassedOver())
    else:
        source = Photographs(train_patches=100, test_patches=1)
    return {store: prepare(source, folder / store, size=256, store=store) for store in ("raw", "jpeg")}


def write_folder(split: Split, folder: Path) -> None:
    """The stored JPEGs as files, one folder a class."""
    assert isinstance(split.images, JpegImages)
    for number, label in enumerate(split.labels):
        path = folder / f"{label:03}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(split.images.stored(number, number + 1).tobytes())


def forever(split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Training batches without end, read ahead as in training."""
    order = np.random.default_rng(1)
    parts = [order.permutation(len(split.labels))[:BATCH] for _ in range(500)]
    return read_ahead(split.images, split.labels, parts, torch.device("cpu"))


def main() -> None:
    given = arguments(__doc__, data="", repeats=7)
    torch.set_num_threads(CORES)
    recipe = recipes["paper"]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        sets = written(given.data, Path(temporary))
        splits = {store: opened.split("train") for store, opened in sets.items()}
        for store, opened in sets.items():
            note = (
                f"{opened.image_bytes / sum(len(opened.split(s).labels) for s in opened.splits) / 1e3:.1f} KB an image"
            )
            rows.append(row(f"{store}: space", [opened.image_bytes / sets["raw"].image_bytes], "of raw", note))
        one = sets["raw"]
        preparation = preparation_of(one.mean, one.eigenvalues, one.eigenvectors, recipe)
        generator = torch.Generator().manual_seed(0)

        def passing(store: str, loops: bool) -> Callable[[], None]:
            split = splits[store]
            parts = list(np.random.default_rng(2).permutation(len(split.labels))[:IMAGES].reshape(-1, BATCH))

            def one_pass() -> None:
                fast.compiled = compiled if loops else lambda: False  # type: ignore[assignment]
                for pixels, _ in read_ahead(split.images, split.labels, parts, torch.device("cpu")):
                    training_batch(pixels, preparation, recipe.augmentation, generator)
                fast.compiled = compiled

            return one_pass

        forms: dict[str, Callable[[], float | None]] = {
            "raw, compiled loop": passing("raw", True),
            "raw, plain torch": passing("raw", False),
            "JPEG, compiled loop": passing("jpeg", True),
            "JPEG, plain torch": passing("jpeg", False),
        }
        if have_peers():
            write_folder(splits["jpeg"], Path(temporary) / "folder")
            forms["torchvision ImageFolder + DataLoader"] = Peer(
                "peers/imagefolder.py", str(Path(temporary) / "folder"), str(BATCH), str(CORES)
            )
        seconds = in_turn(forms, given.repeats)
        number = IMAGES // BATCH * BATCH
        for name, took in seconds.items():
            rows.append(row(f"load: {name}", [number / s / CORES for s in took], "images/s per core"))
        for name, took in seconds.items():
            if isinstance(forms[name], Peer):
                for ours in ("raw, compiled loop", "JPEG, compiled loop"):
                    rows.append(row(f"{ours}, against the DataLoader", ratios(seconds[ours], took), "times"))
                forms[name].close()  # type: ignore[attr-defined]

        rows += reading(splits["raw"], given.repeats)
        rows += share_of_step(splits, preparation, given.repeats)
        step = next(figure for figure in rows if figure.name == "step, batch in memory").median
        for store, name in (("raw", "raw, compiled loop"), ("jpeg", "JPEG, compiled loop")):
            rates = [number / s for s in seconds[name]]
            rows.append(
                row(f"{store}: share of the step if nothing were hidden", [100 * step / rate for rate in rates], "%")
            )
    finish("loading", rows, given)


def reading(split: Split, repeats: int) -> list[Row]:
    """Batches of raw pixels out of the page cache: by position, as they are read, and by memory map; and their checksum."""
    images = split.images
    assert isinstance(images, RawImages)
    mapped = np.memmap(images.file.path, np.uint8, "r", shape=images.shape)
    parts = list(np.random.default_rng(3).permutation(len(images))[:IMAGES].reshape(-1, BATCH))

    def batches_of(pixels: RawImages | np.ndarray) -> Callable[[], None]:
        def read() -> None:
            for part in parts:
                np.ascontiguousarray(pixels[part])

        return read

    def checksum() -> None:
        hashlib.sha256(mapped[:IMAGES].data)

    forms = {
        "read by position": batches_of(images),
        "read by memory map": batches_of(mapped),
        "sha256, once for each image": checksum,
    }
    seconds = in_turn(forms, repeats)
    size = IMAGES * images.shape[1] ** 2 * 3
    rows = [row(name, [size / second / 1e9 for second in took], "GB/s") for name, took in seconds.items()]
    against = ratios(seconds["read by position"], seconds["read by memory map"])
    return [*rows, row("read by position, against the memory map", against, "times")]


def share_of_step(splits: dict[str, Split], preparation: Preparation, repeats: int) -> list[Row]:
    """Steps of the `paper` network with and without loading, in turn."""
    recipe = recipes["paper"]
    torch.manual_seed(0)
    model = AlexNet(networks["paper"]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sgd = rule.optimizer_of(recipe, model)
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last) * 60
    own_labels = torch.randint(len(set(splits["raw"].labels.tolist())), (BATCH,))
    reading = {store: forever(split) for store, split in splits.items()}
    got: dict[str, list[float]] = {store: [] for store in splits}

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        sgd.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        sgd.step()

    def with_loading(store: str) -> None:
        begun = time.perf_counter()
        pixels, labels = next(reading[store])
        images = training_batch(pixels, preparation, recipe.augmentation, generator)
        got[store].append(time.perf_counter() - begun)
        step(images, labels)

    forms = {"batch in memory": lambda: step(own, own_labels)}
    forms |= {store: lambda store=store: with_loading(store) for store in splits}  # type: ignore[misc]
    seconds = in_turn(forms, repeats, warmup=1)
    rows = [row("step, batch in memory", [BATCH / s for s in seconds["batch in memory"]], "images/s")]
    for store in splits:
        pairs = zip(seconds[store], seconds["batch in memory"], strict=True)
        rows.append(row(f"step, {store} set", [BATCH / s for s in seconds[store]], "images/s"))
        rows.append(row(f"{store}: share of the step lost to loading", [100 * (a / b - 1) for a, b in pairs], "%"))
        median = statistics.median(seconds["batch in memory"])
        waited = [100 * s / median for s in itertools.islice(got[store], 1, None)]
        rows.append(row(f"{store}: share that the main thread spends on it", waited, "%"))
    for one in reading.values():
        one.close()  # type: ignore[attr-defined]
    return rows


if __name__ == "__main__":
    main()
