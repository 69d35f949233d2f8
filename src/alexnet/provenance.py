"""Where a figure comes from: the machine and the commit that results are kept with."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from alexnet.fast import bf16_unit, compiled


def processor() -> str:
    """The name of the processor, as it says itself where the system tells: "AMD EPYC"."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return named[0] if named else platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """Hardware and software: the processor with its best instructions, threads, a GPU where torch uses one."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "cpu": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        **({"bf16": unit} if compiled() and (unit := bf16_unit()) else {}),
        **gpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def version() -> str:
    """The version of this package; "unknown" where it runs from its sources and is not installed, as by torch.hub."""
    try:
        return metadata.version("alexnet")
    except metadata.PackageNotFoundError:
        return "unknown"


NO_CODE = ("*.md", "docs", "benchmarks/results", "src/alexnet/claims/results")
"""Files whose change changes no figure: documents, and the figures themselves, several of which are saved in turn."""


def commit() -> str:
    """The commit of the code that runs, with "-dirty" if code was changed since.

    Outside a checkout, as in a copy of its files: what the environment variable ALEXNET_COMMIT says, else "unknown".
    """
    file = Path(__file__)

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=file.parent, capture_output=True, text=True)

    try:
        # Installed into an environment that lies in some other project's checkout, it is not of that project's commit.
        described = git("ls-files", file.name).stdout and git("describe", "--always").stdout.strip()
        code = (":/", *(f":(top,exclude){path}" for path in NO_CODE))
        if described and git("diff", "--quiet", "HEAD", "--", *code).returncode:
            described += "-dirty"
    except OSError:
        described = ""
    return described or os.environ.get("ALEXNET_COMMIT", "") or "unknown"
