"""Peak memory of a training step on the CPU, each form in a process of its own (Linux).

    python benchmarks/memory.py [--batch 128] [--save]

What the step needs beside weights, gradients and velocities: the peak of the resident set during steps of the whole batch,
less the resident set after a step of two images, which lays those out. Freed blocks go back to the kernel at once
(glibc's default), so that the peak is what is in use.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from measure import arguments, finish, row
from training_step import our_learner, plain_learner, plain_port

from alexnet import networks
from alexnet.network.model import AlexNet
from alexnet.run.recipes import recipes

FORMS = ("ours, float32", "ours, bf16", "plain port, nn.LocalResponseNorm", "plain port without normalization")


def resident(what: str) -> float:
    """MB of this process: VmRSS, now, or VmHWM, at most since `forget`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(what))


def one(form: str, batch: int) -> float:
    """MB that a step takes in this process."""
    torch.manual_seed(0)
    images, labels = 60 * torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,))
    spec = replace(networks.paper, normalization="none") if "without" in form else networks.paper
    if form.startswith("ours"):
        step = our_learner(recipes["paper"], "bf16" if "bf16" in form else "float32")
        images = images.to(torch.bfloat16 if "bf16" in form else torch.float32, memory_format=torch.channels_last)
    else:
        step = plain_learner(plain_port(AlexNet(spec)))
    step(images[:2], labels[:2])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    for _ in range(2):
        step(images, labels)
    return resident("VmHWM") - before


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        print(one(sys.argv[2], int(sys.argv[3])))
        return
    given = arguments(__doc__, batch=128, repeats=3, allocator="default")
    measured: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(given.repeats):
        for form in FORMS:
            command = [sys.executable, __file__, "--one", form, str(given.batch)]
            measured[form].append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    rows = [row(form, values, "MB") for form, values in measured.items()]
    for mine in FORMS[:2]:
        for form in FORMS[2:]:
            shares = [own / peer for own, peer in zip(measured[mine], measured[form], strict=True)]
            rows.append(row(f"{mine}, against {form}", shares, "×"))
    finish("memory", rows, given)


if __name__ == "__main__":
    main()
