"""A training step by two processes with a core each, against one process with one thread, and with two.

    python benchmarks/scaling.py [--network paper] [--batch 128] [--steps 1] [--repeats 5] [--save]

Images already in memory; forward, loss, backward, update; the batch is the same in every form, shared by the processes. The
modes are those of `alexnet train --parallel`. "Two apart" are two processes that each take half of the batch and exchange
nothing: what the machine gives two at once, whatever they do. Efficiency is images/s over twice those of one process with
one thread. The two processes talk by gloo on this machine. Every round of a form has processes of its own, one round in which
they warm up before the one that counts, so that one form at a time is in memory. The result is results/scaling-NETWORK.json.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from measure import Peer, arguments, finish, in_turn, ratios, row
from peers.serve import keep_memory, serve

from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.processes import Processes
from alexnet.training.layouts import layout
from alexnet.training.rule import PaperSGD, groups

FORMS = ("one process, one thread", "one process, two threads", "two apart", "data", "columns", "hybrid")


def work(form: str, network: str, batch: int, steps: int, processes: Processes) -> Callable[[], None]:
    """`steps` training steps of this process of a form, on images in memory."""
    torch.set_num_threads(2 if form.endswith("two threads") else 1)
    spec = networks[network]
    torch.manual_seed(0)
    model = AlexNet(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mode = form if form in ("data", "columns", "hybrid") else "none"
    shared = layout(mode, model, processes if mode != "none" else Processes())  # type: ignore[arg-type]
    module = shared.module.train()
    sgd = PaperSGD(groups(module, spec.last_name, 0.0005, True), 1e-4)
    batch //= 2 if form == "two apart" else 1
    images = 60 * torch.randn(batch, 3, spec.input_size, spec.input_size)
    images = images[shared.rows(batch)].contiguous(memory_format=torch.channels_last)
    labels = torch.randint(spec.classes, (batch,))[shared.judged(batch)]

    def run() -> None:
        for _ in range(steps):
            sgd.zero_grad(set_to_none=True)
            shared.begin(batch)
            (F.cross_entropy(shared(images), labels, reduction="sum") / batch).backward()
            sgd.step()

    return run


def pinned(rank: int) -> None:
    """Keep this thread, and those that it starts, to one of the cores that the process may use."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})


def join(rank: int, store: str) -> Processes:
    """Meet the other process."""
    pinned(rank)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    return Processes(rank, 2, rank)


def follow(store: str, form: str, network: str, batch: int, steps: int) -> None:
    """The second process: a round whenever the first one begins one, until that ends."""
    keep_memory()
    run = work(form, network, batch, steps, join(1, store))
    with suppress(RuntimeError):  # the connection is closed
        while True:
            dist.barrier()
            run()
            dist.barrier()


def lead(form: str, network: str, batch: int, steps: int) -> Callable[[], None]:
    """The first process, or the only one: a round of the form."""
    keep_memory()
    if form.startswith("one process"):
        if form.endswith("one thread"):
            pinned(0)
        return work(form, network, batch, steps, Processes())
    store = str(Path(tempfile.mkdtemp()) / "store")
    given = store, form, network, batch, steps
    torch.multiprocessing.get_context("spawn").Process(target=follow, args=given, daemon=True).start()
    run = work(form, network, batch, steps, join(0, store))

    def one_round() -> None:
        dist.barrier()
        run()
        dist.barrier()

    return one_round


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(lead(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
        return
    given = arguments(__doc__, network="paper", batch=128, steps=1, repeats=5)
    how = given.network, str(given.batch), str(given.steps)

    def one_round(form: str) -> float:
        peer = Peer("scaling.py", "--serve", form, *how, python=sys.executable)
        peer()
        took = peer()
        peer.close()
        return took

    forms = {form: partial(one_round, form) for form in FORMS}
    seconds: dict[str, list[float]] = in_turn(forms, given.repeats, warmup=0)
    images = given.batch * given.steps
    rows = [row(form, [images / took for took in seconds[form]], "images/s") for form in FORMS]
    one, two = seconds[FORMS[0]], seconds[FORMS[1]]
    for form in FORMS[1:]:
        rows.append(row(f"{form}: efficiency", [50 * ratio for ratio in ratios(seconds[form], one)], "%"))
    rows += [row(f"{form} against one process, two threads", ratios(seconds[form], two), "×") for form in FORMS[2:]]
    apart = seconds["two apart"]
    rows += [row(f"{form} against two apart", ratios(seconds[form], apart), "×") for form in FORMS[3:]]
    finish(f"scaling-{given.network}", rows, given)


if __name__ == "__main__":
    main()
