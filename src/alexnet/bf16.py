"""Reading and writing bf16 in compiled loops, which compute in float32 (numba, which has no type for bf16).

A tensor of bf16 goes to a loop as uint16, `array_of`, where each number is the upper half of a float32. A loop written with
`wide` and `rounded` takes arrays of either kind; for float32 both do nothing.
"""

from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

_BITS, _SHORT = ir.IntType(32), ir.IntType(16)


def array_of(x: Tensor) -> Any:
    """The memory of x as an array for a loop: float32 as it is, bf16 as uint16; without a copy."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


@intrinsic
def wide(context, value):  # type: ignore[no-untyped-def]
    """A number of an array, float32 or bf16, as float32."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        if value == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], _BITS)
        return builder.bitcast(builder.shl(bits, ir.Constant(_BITS, 16)), ir.FloatType())

    return types.float32(value), code


@intrinsic
def rounded(context, value, like):  # type: ignore[no-untyped-def]
    """A float32 as a number for the array `like`: the nearest, of two equally near the even one, as torch rounds to bf16."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        number = arguments[0]
        if like.dtype == types.float32:
            return number
        bits = builder.bitcast(number, _BITS)
        odd = builder.and_(builder.lshr(bits, ir.Constant(_BITS, 16)), ir.Constant(_BITS, 1))
        nearest = builder.add(bits, builder.add(odd, ir.Constant(_BITS, 0x7FFF)))
        short = builder.trunc(builder.lshr(nearest, ir.Constant(_BITS, 16)), _SHORT)
        # Rounding would carry a NaN over into the sign.
        return builder.select(builder.fcmp_unordered("uno", number, number), ir.Constant(_SHORT, 0x7FC0), short)

    return like.dtype(types.float32, like), code
