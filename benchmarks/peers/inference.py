"""torchvision's alexnet, untrained, in eval mode: inference.py eager|channels-last BATCH TIMES THREADS PARTS.

With PARTS > 1 the batch is cut into so many, which THREADS threads compute side by side, each by itself.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import torch
import torchvision
from serve import keep_memory, serve

form, (batch, times, threads, parts) = sys.argv[1], map(int, sys.argv[2:])
keep_memory()
torch.set_num_threads(threads if parts == 1 else 1)
layout = {"eager": torch.contiguous_format, "channels-last": torch.channels_last}[form]
network = torchvision.models.alexnet().eval().to(memory_format=layout)
images = torch.randn(batch, 3, 224, 224).to(memory_format=layout)
workers = ThreadPoolExecutor(threads)


@torch.inference_mode()
def infer(part: torch.Tensor) -> None:
    network(part)


def one_round() -> None:
    for _ in range(times):
        if parts == 1:
            infer(images)
        else:
            list(workers.map(infer, images.chunk(parts)))


serve(one_round)
