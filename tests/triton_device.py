"""Where tests of Triton kernels run: on a GPU, or, where there is none, in Triton's interpreter on the CPU.

The interpreter has to be chosen before Triton is imported, so a test module imports this one first.
"""

import os

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected|, in float64."""
    return float((found.cpu().double() - expected.cpu().double()).norm() / expected.cpu().double().norm())
