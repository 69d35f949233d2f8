"""Where tests of Triton kernels run: in Triton's interpreter on the CPU, on small maps, or on a GPU, under the marker `gpu`.

A process has one of the two, chosen before Triton is imported: so a test module imports this one first.
"""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
if not GPU:
    os.environ["TRITON_INTERPRET"] = "1"


def cases(small: Sequence[tuple[Any, ...]], large: Sequence[tuple[Any, ...]] = ()) -> list[Any]:
    """(device, *case) for pytest: the small ones in the interpreter, all of them on a GPU."""
    interpreted = pytest.mark.skipif(GPU, reason="where there is a GPU, Triton compiles for it")
    return [
        *(pytest.param("cpu", *case, marks=interpreted) for case in small),
        *(pytest.param("cuda", *case, marks=pytest.mark.gpu) for case in (*small, *large)),
    ]


each_device = pytest.mark.parametrize("device", cases([()]))
