"""Every Triton kernel compiles for a Hopper GPU as the package starts it, and to fast code; no GPU is needed for that."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "alexnet"
KERNELS = {
    "network": {"_forward", "_backward", "_forward_pool", "_backward_pool"},
    "training": {"_sgd"},
    "data": {"_augment"},
}


def compile_all(room: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as Triton's interpreter is on in this one."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(folder)}
    program = [sys.executable, HERE / "triton_compiling.py", room]
    return subprocess.run(program, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("room", KERNELS)
def test_the_kernels_compile_for_hopper_without_spills_or_exchange(room: str, tmp_path: Path) -> None:
    done = compile_all(room, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == KERNELS[room]
    started = re.findall(r"^ +(_\w+)\[.*\]\(", (SOURCE / room / "gpu.py").read_text(), re.MULTILINE)
    assert set(started) == KERNELS[room]  # a new kernel belongs here
