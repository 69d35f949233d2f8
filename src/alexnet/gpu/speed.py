"""The measurements of speed, piece by piece; each takes a minute or two on an H100 and is worth having alone.

    from alexnet.gpu.speed import PIECES, Given
    rows, more = PIECES["steps"](Given())

A piece that needs the limits (the matrix product, the copy) takes them from `Given`, or measures them itself, and names them in
`more["limits"]`: every share is one of a limit that was measured in the same minutes, on the same device. What fails, or
would come too late, is left out and named in `more["left out"]`; a piece without any figure raises RunFailed.
"""

from collections.abc import Callable
from typing import Any

import torch

from alexnet.errors import RunFailed
from alexnet.gpu.epoch import epoch
from alexnet.gpu.figures import Row
from alexnet.gpu.kernels import kernels
from alexnet.gpu.profile import profile
from alexnet.gpu.steps import steps
from alexnet.gpu.timing import Given, Size, free, measure_limits

__all__ = ["PIECES", "Given", "Size"]

Piece = Callable[[Given], tuple[list[Row], dict[str, Any]]]


def _ceilings(given: Given) -> tuple[list[Row], dict[str, Any]]:
    return measure_limits(given), {}


def _piece(work: Piece, limited: bool = True) -> Piece:
    """`work`, with the limits measured before it where nobody has; `limited` is whether it needs them."""

    def whole(given: Given) -> tuple[list[Row], dict[str, Any]]:
        given.left_out.clear()
        torch.backends.cudnn.benchmark = given.device.type == "cuda"  # as `alexnet train` has it
        if limited and not given.limits:
            measure_limits(given)
        rows, more = work(given)
        free(given.device)
        if not rows:
            raise RunFailed("nothing could be measured: " + "; ".join(given.left_out))
        return rows, {
            "cuda": torch.version.cuda,
            "limits": dict(given.limits),
            "left out": list(given.left_out),
        } | more

    whole.__doc__ = work.__doc__
    return whole


PIECES: dict[str, Piece] = {
    "ceilings": _piece(_ceilings, limited=False),
    "kernels": _piece(kernels),
    "steps": _piece(steps),
    "profile": _piece(profile),
    "epoch": _piece(epoch, limited=False),
}
"""In the order in which they are worth having where time is short."""
