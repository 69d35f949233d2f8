"""Inference on the CPU: `paper` by torch and as exported files, float32 and int8, against torchvision's alexnet.

    python benchmarks/inference.py [--repeats 7] [--save]

Latency of one image, and images a second of 64. Both networks are untrained, with 1000 classes: time does not depend on
what a network has learned; what int8 costs in accuracy is measured by benchmarks/int8.py. Every runtime has a process of
its own and the same number of threads. "in 4": the 64 images go as four parts of 16, one thread each, as many at once as
there are threads; torchvision's too. "Against torchvision": of one image against its eager form, of 64 against whichever
of its channels-last forms is faster in that round. Two minutes for each batch size (--batch 1, --batch 64).
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import Peer, Row, arguments, finish, have_peers, in_turn, ratios, row

from alexnet.exchange import exports, runtimes
from alexnet.exchange.onnx_write import onnx_model
from alexnet.network.model import AlexNet
from alexnet.network.networks import paper

TIMES = {1: 30, 64: 1}
"""Batch size -> batches in a round."""


def export(network: AlexNet, folder: Path) -> None:
    """network.onnx, network-int8.onnx, network.xml and network-int8.xml in `folder`."""
    model = onnx_model(network, torch.full((3, 224, 224), 120.0), {})
    noise = np.random.default_rng(0).uniform(0, 255, (16, 1, 3, 224, 224)).astype(np.float32)
    formats: tuple[runtimes.Format, ...] = ("onnx", "openvino")
    for format in formats:
        file, int8 = (folder / f"network{end}{exports.SUFFIXES[format][0]}" for end in ("", "-int8"))
        runtimes.save(model, file, format, {})
        runtimes.quantize(file, list(noise), int8, format, {})


def ours(network: AlexNet, batch: int) -> Callable[[], None]:
    images = torch.randn(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        for _ in range(TIMES[batch]):
            network(images)

    return run


def main() -> None:
    given = arguments(__doc__, batch=0)
    network = AlexNet(paper).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    files = {
        "onnxruntime, float32": ("network.onnx", "own"),
        "onnxruntime, int8": ("network-int8.onnx", "own"),
        "OpenVINO, float32": ("network.xml", "f32"),
        "OpenVINO, its own precision": ("network.xml", "own"),
        "OpenVINO, int8 and float32": ("network-int8.xml", "f32"),
        "OpenVINO, int8 and its own precision": ("network-int8.xml", "own"),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        export(network, Path(folder))
        for batch in [given.batch] if given.batch else TIMES:
            end = [str(number) for number in (batch, TIMES[batch], torch.get_num_threads())]
            forms: dict[str, Callable[[], float | None]] = {"alexnet, torch": ours(network, batch)}
            for parts in (1,) if batch == 1 else (1, 4):
                also = f", in {parts}" if parts > 1 else ""
                for name, (file, precision) in files.items():
                    path = str(Path(folder) / file)
                    forms[name + also] = Peer(
                        "peers/exported.py", path, precision, *end, str(parts), python=sys.executable
                    )
                for form in ("eager", "channels-last")[parts > 1 :] if have_peers() else ():
                    forms[f"torchvision, {form}{also}"] = Peer("peers/inference.py", form, *end, str(parts))
            seconds = in_turn(forms, given.repeats)
            for form in forms.values():
                if isinstance(form, Peer):
                    form.close()
            for name, taken in seconds.items():
                if batch == 1:
                    rows.append(row(f"1 image: {name}", [1e3 * s / TIMES[batch] for s in taken], "ms"))
                else:
                    rows.append(row(f"{batch} images: {name}", [batch * TIMES[batch] / s for s in taken], "images/s"))
            theirs = [
                name for name in seconds if name.startswith(f"torchvision, {'eager' if batch == 1 else 'channels'}")
            ]
            if theirs:
                peer = [min(values) for values in zip(*(seconds[name] for name in theirs), strict=True)]
                for name, taken in seconds.items():
                    if not name.startswith("torchvision"):
                        rows.append(row(f"{batch}: {name}, against torchvision", ratios(taken, peer), "x"))
    finish("inference" + (f"-{given.batch}" if given.batch else ""), rows, given)


if __name__ == "__main__":
    main()
