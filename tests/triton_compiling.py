"""Compiles every Triton kernel for a Hopper GPU, with the arguments that the package starts them with; run by test_triton.

Triton brings its own assembler, so that no GPU is needed: a kernel's start is caught and its arguments say what to compile.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.runtime.jit import JITFunction

from alexnet.data.gpu import augment
from alexnet.network import gpu
from alexnet.network.spec import LRN
from alexnet.training.gpu import sgd_

POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.int64: "*i64",
    torch.bool: "*i1",
}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
REGISTERS = 80
"""Of a thread, at most: six blocks of four warps then share a multiprocessor."""

started: list[tuple[JITFunction, tuple[Any, ...]]] = []


def catch(kernel: JITFunction, *given: Any, grid: Any, warmup: bool) -> None:
    """In place of a kernel's start."""
    started.append((kernel, given))


def compiled(kernel: JITFunction, given: tuple[Any, ...]) -> Any:
    """What Triton makes of a kernel when it is first started so: 1 is a constant, and what divides by 16 is known to."""
    types, constants, aligned = {}, {}, {}
    for place, (parameter, value) in enumerate(zip(kernel.params, given, strict=True)):
        if parameter.is_constexpr or (type(value) is int and value == 1):
            types[parameter.name], constants[(place,)] = "constexpr", value
        elif isinstance(value, Tensor):
            types[parameter.name], aligned[(place,)] = POINTERS[value.dtype], [["tt.divisibility", 16]]
        else:
            types[parameter.name] = {int: "i32", float: "fp32"}[type(value)]
            if type(value) is int and value % 16 == 0:
                aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature=types, constexprs=constants, attrs=aligned)
    return compile(source, target=GPUTarget("cuda", 90, 32))


def troubles(made: Any, name: str) -> Iterator[str]:
    """What would make a kernel slow: registers kept in memory, an exchange between threads, loads of less than 16 bytes."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        used = subprocess.run([TOOLS / "cuobjdump", "--dump-resource-usage", file.name], capture_output=True, text=True)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", used.stdout)
    assert found, used.stdout + used.stderr
    registers, *memory = (int(number) for number in found.groups())
    if registers > REGISTERS or any(memory) or made.metadata.shared or "convert_layout" in made.asm["ttgir"]:
        yield f"{found[0]}, {made.asm['ttgir'].count('convert_layout')} exchanges between threads"
    wide = name != "_augment"
    if wide and not ("ld.global.v4.b32" in made.asm["ptx"] and "st.global.v4.b32" in made.asm["ptx"]):
        yield "no loads and stores of 16 bytes"


def layers(channels: int, side: int, columns: int, dtype: torch.dtype, relu: bool) -> None:
    """Normalization and pooling of a map there and back."""
    z = torch.zeros(2, channels, side, side, dtype=dtype).contiguous(memory_format=LAST).requires_grad_()
    gpu.local_response_normalization(z, LRN(), columns).sum().backward()
    gpu.relu_lrn_pool(z, relu, LRN(), columns, 3, 2, True).sum().backward()


def update(gradient: torch.dtype, copy: torch.dtype | None) -> None:
    """The update of a weight."""
    w = torch.zeros(96, 3, 11, 11)
    sgd_(w, w, w.to(gradient), torch.zeros(()), 0.9, 0.0005, None if copy is None else w.to(copy))


def batch(colour: bool, own_mean: bool, divide: float, dtype: torch.dtype, indexed: bool = True) -> None:
    """A batch of training images."""
    images, zeros = torch.zeros(2, 256, 256, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    mean = torch.zeros(3, *(2 * [256 if own_mean else 224]))
    noise = torch.zeros(2, 3) if colour else None
    augment(images, zeros if indexed else None, zeros, zeros, zeros.bool(), mean, noise, divide, 224, dtype)


LAST, LOW, FULL = torch.channels_last, torch.bfloat16, torch.float32
STARTS: dict[str, list[Callable[[], None]]] = {
    "network": [
        lambda: layers(96, 55, 1, LOW, True),
        lambda: layers(256, 27, 2, FULL, False),
    ],
    "training": [lambda: update(LOW, LOW), lambda: update(FULL, None), lambda: update(FULL, LOW)],
    "data": [
        lambda: batch(True, True, 1.0, FULL),
        lambda: batch(True, False, 1.1, LOW),
        lambda: batch(False, True, 1.0, LOW, indexed=False),
    ],
}


def main() -> None:
    JITFunction.run = catch  # type: ignore[method-assign]
    for work in STARTS[sys.argv[1]]:
        work()
    seen = set()
    for kernel, given in started:
        key = (kernel.__name__, *(value.dtype if isinstance(value, Tensor) else value for value in given))
        if key in seen:
            continue
        seen.add(key)
        name = f"{kernel.__name__} {' '.join(str(part) for part in key[1:])}"
        found = list(troubles(compiled(kernel, given), kernel.__name__))
        print(name, *found, sep="\n  ")
        if found:
            sys.exit(f"{name}: {'; '.join(found)}")


if __name__ == "__main__":
    main()
