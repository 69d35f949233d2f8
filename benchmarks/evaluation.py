"""Evaluation over ten views, and prediction of files: now, and as it was before.

    python benchmarks/evaluation.py [--images FOLDER] [--repeats 5] [--save]

Before: every view is cropped, converted, centred, mirrored and copied in passes of its own, normalization is a product
with a banded matrix and a power, and the files of a batch are read after the batch before them has been computed. Both in
float32; ten views in bf16 too, where the processor multiplies it. The network is `paper`, untrained, with 1000 classes. FOLDER
holds photographs. About 2 minutes.
"""

import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from measure import Row, arguments, finish, in_turn, ratios, row
from torch import Tensor, nn

from alexnet.data.augment import Preparation, centre, to_channels
from alexnet.data.image import to_square
from alexnet.fast import bf16_unit
from alexnet.network.layers import LocalResponseNormalization
from alexnet.network.low_precision import LowPrecision
from alexnet.network.model import AlexNet
from alexnet.network.networks import paper
from alexnet.run import predict, recipes
from alexnet.run.network_file import Contents
from alexnet.run.trained import TrainedNetwork
from alexnet.run.views import view_probabilities

BATCH = 32


class NormalizationBefore(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        index = torch.arange(x.shape[1])
        band = ((index[:, None] - index[None, :]).abs() <= 2).float()
        sums = nn.functional.conv2d(x * x, band[:, :, None, None])
        return x * (2 + 1e-4 * sums).pow(-0.75)


def network_before(network: AlexNet) -> nn.Sequential:
    layers = OrderedDict(network.named_children())
    for name, layer in layers.items():
        if isinstance(layer, LocalResponseNormalization):
            layers[name] = NormalizationBefore()
    return nn.Sequential(layers).eval()


def views_before(images: Tensor, preparation: Preparation) -> Iterator[Tensor]:
    size, last = preparation.input_size, preparation.positions - 1
    mean = centre(preparation.mean, size)
    whole = to_channels(images, preparation.size)
    for mirrored in (False, True):
        for top, left in [(0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)]:
            crop = whole[:, :, top : top + size, left : left + size].float() - mean
            yield (crop.flip(-1) if mirrored else crop).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def probabilities_before(network: nn.Module, images: Tensor, preparation: Preparation) -> Tensor:
    return torch.stack([network(view).softmax(dim=1) for view in views_before(images, preparation)]).mean(dim=0)


def predict_before(network: TrainedNetwork, files: list[Path]) -> None:
    with ThreadPoolExecutor() as readers:
        for start in range(0, len(files), predict.BATCH):
            part = files[start : start + predict.BATCH]
            images = list(readers.map(lambda file: to_square(file.read_bytes(), 256), part))
            network.probabilities(np.stack(images), 1).topk(5)


def main() -> None:
    given = arguments(__doc__, repeats=5, images="")
    network = AlexNet(paper).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = torch.rand(3, 256, 256) * 40 + 100
    preparation = Preparation(224, mean, torch.ones(3), torch.eye(3))
    pixels = torch.randint(256, (BATCH, 256, 256, 3), dtype=torch.uint8)
    old = network_before(network)
    wanted = probabilities_before(old, pixels, preparation)
    difference = float((view_probabilities(network, pixels, preparation, 10) - wanted).abs().max())
    assert difference < 1e-5, difference
    forms: dict[str, Callable[[], object]] = {
        "ten views, now": lambda: view_probabilities(network, pixels, preparation, 10),
        "ten views, before": lambda: probabilities_before(old, pixels, preparation),
    }
    if bf16_unit():
        low = LowPrecision(network, torch.bfloat16)
        forms["ten views, bf16"] = lambda: view_probabilities(low, pixels, preparation, 10)
    counts = dict.fromkeys(forms, BATCH)
    with tempfile.TemporaryDirectory() as folder:
        if given.images:
            files = sorted(path for path in Path(given.images).rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
            files = files[:: max(1, len(files) // 96)][:96]
            classes = tuple(f"{number:04}" for number in range(1000))
            statistics = (np.full((256, 256, 3), 120, np.float32), np.ones(3), np.eye(3))
            contents = Contents(Path(folder), recipes.recipes["paper"], {}, classes, *statistics, "none")
            trained = TrainedNetwork(Path(folder), contents, network)
            names = [str(file) for file in files]
            forms["files, now"] = lambda: list(predict.predictions(trained, iter(names), 1))
            forms["files, before"] = lambda: predict_before(trained, files)
            counts |= {"files, now": len(files), "files, before": len(files)}

        def timed(form: Callable[[], object]) -> Callable[[], float]:
            def run() -> float:
                begun = time.perf_counter()
                form()
                return time.perf_counter() - begun

            return run

        seconds = in_turn({name: timed(form) for name, form in forms.items()}, given.repeats, warmup=1)
    rows: list[Row] = [row(name, [counts[name] / s for s in taken], "images/s") for name, taken in seconds.items()]
    for what in ("ten views", "files"):
        if f"{what}, now" in seconds:
            rows.append(
                row(f"{what}: now against before", ratios(seconds[f"{what}, now"], seconds[f"{what}, before"]), "x")
            )
    if bf16_unit():
        ratio = ratios(seconds["ten views, bf16"], seconds["ten views, now"])
        rows.append(row("ten views: bf16 against float32, now", ratio, "x"))
    finish("evaluation", rows, given, largest_difference=difference)


if __name__ == "__main__":
    main()
