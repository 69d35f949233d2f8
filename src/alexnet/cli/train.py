"""alexnet train: a recipe and a prepared dataset into a run."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from alexnet.cli.console import argument_parser, choose_named, err, first_name, out, out_line, print_json
from alexnet.cli.progress import Bar
from alexnet.cli.runs import data_of, write_report
from alexnet.errors import InputError


def train(args: list[str]) -> int:
    """Train a recipe into a run folder, go on with a run, or fine-tune one on other images."""
    from alexnet import processes
    from alexnet.data import prepared as prepared_sets
    from alexnet.network.named import network_of
    from alexnet.network.networks import networks
    from alexnet.run import checkpoint, recipe
    from alexnet.run import recipes as named
    from alexnet.run.images import check_fit
    from alexnet.training import trainer

    usage = (
        "RECIPE --data DIR [--out RUN] [--epochs N] [--seed S] [--network.normalization none] ...\n"
        "       alexnet train --resume RUN\n"
        "       alexnet train RECIPE --data DIR --parallel columns|data|hybrid [--processes N]\n"
        "       alexnet train [RECIPE] --from RUN --data DIR [--out RUN]\n\n"
        f"Recipes: {', '.join(named.recipes)}. `alexnet train RECIPE --help` lists every field that can be set."
    )
    parser = argument_parser("train", usage, train, add_help=False)
    parser.add_argument("--data", type=Path, help="a prepared dataset (alexnet prepare)")
    parser.add_argument("--out", type=Path, help="the run folder to make; by default runs/RECIPE-SEED")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run")
    parser.add_argument(
        "--from", dest="start", type=Path, metavar="RUN", help="start from this run's weights, new last layer"
    )
    parser.add_argument(
        "--network",
        metavar="NAME|FILE",
        help=f"the recipe with another network: {', '.join(networks)}, or a .json file (alexnet import layers-145.cfg --out FILE)",
    )
    parser.add_argument(
        "--parallel",
        choices=("data", "columns", "hybrid"),
        help="several processes train one network: each a share of every batch (data), each a column of the paper's network, or"
        " a share of the batch in the convolutions and of the units in the hidden layers (hybrid); by default data under torchrun",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="how many on this machine; by default 2, or as many as it has GPUs"
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=3,
        metavar="N",
        help="how often all start again when a process dies; by default 3",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    known, rest = parser.parse_known_args(args)
    name = first_name(rest, named.recipes)
    if name is None and ("-h" in rest or "--help" in rest):
        parser.print_help()
        return 0
    weights = None
    if known.resume:
        if rest or known.out or known.start or known.network:
            raise InputError(
                f"--resume {known.resume} goes on with the run's own recipe; only --data can stand beside it"
            )
        chosen, folder = recipe.read(known.resume), known.resume
        data_path = known.data or data_of(known.resume, there=True)
    else:
        if known.start:
            start = recipe.read(known.start)
            weights = checkpoint.weights(checkpoint.newest(known.start))
            how = choose_named(named.recipes, name, "RECIPE", "recipe") if name else None
            chosen = named.continued(start, how) if how else named.fine_tuned(start, start.network.classes)
        elif name is None:
            raise InputError(
                f"the first argument must be a RECIPE ({', '.join(named.recipes)}), --resume RUN or --from RUN;"
                " see alexnet train --help"
            )
        else:
            chosen = choose_named(named.recipes, name, "RECIPE", "recipe")
        if name is not None:
            rest.remove(name)
        if known.network:
            chosen = replace(chosen, network=replace(network_of(known.network), classes=chosen.network.classes))
        chosen = tyro.cli(recipe.Recipe, default=chosen, args=rest, prog=f"alexnet train {name or ''}".rstrip())
        chosen.check()
        if name == named.finetune.name and not known.start:
            raise InputError("finetune goes on from a trained run: alexnet train finetune --from RUN --data DIR")
        if known.data is None:
            raise InputError(
                "--data DIR is missing: the folder of a prepared dataset (alexnet prepare SOURCE DIR makes one)"
            )
        data_path, folder = known.data, known.out or Path("runs") / f"{chosen.name}-{chosen.seed}"
    opened = prepared_sets.open(data_path)
    number = _processes(known)
    if number > 1 and not processes.launched():
        trainer.check_parallel(check_fit(chosen, opened), known.parallel or "data", number)
        processes.Processes(0, number).device(chosen.device)
        return processes.launch(number, known.restarts, _train_in_process, args)

    with processes.joined(chosen.device) as here, stop_signals() as caught, Bar("training", err) as bar:
        # What a process that died has left is this start's own, and no run that was there before.
        goes_on = processes.launched() and here.any(here.first and trainer.begun_by_this_job(folder, chosen, opened))
        if goes_on and here.first:
            err.print("this job's run is there; all go on from its last checkpoint")
        outcome = trainer.train(
            chosen,
            opened,
            folder,
            resume=bool(known.resume) or goes_on,
            start_from=weights,
            progress=bar.training if here.first else None,
            stop=lambda: bool(caught),
            started=(lambda now: _say_start(now, folder)) if here.first else None,
            processes=here,
            parallel=known.parallel or ("data" if here.number > 1 else "none"),
        )
    if not here.first:
        return 0 if outcome.finished else 128 + (caught or [signal.SIGTERM])[0]
    page = write_report(folder, opened)
    document = {
        "run": str(folder),
        "finished": outcome.finished,
        "epochs": outcome.epochs,
        "report": str(page),
        **{key: value for key, value in outcome.last.items() if key not in ("kind", "epoch", "time")},
    }
    if known.json:
        print_json(document)
    else:
        last = outcome.last
        if "validation_top1" in last:
            five = f", top-5 {last['validation_top5']:.2f} %" if len(opened.classes) > 5 else ""
            out.print(f"epoch {last['epoch']}: validation error top-1 {last['validation_top1']:.2f} %{five}")
        out_line(f"run folder {folder}, report {page}")
    if not outcome.finished:
        err.print(f"stopped; go on with: alexnet train --resume {folder}", soft_wrap=True)
        return 128 + (caught or [signal.SIGTERM])[0]  # another process may have been told
    return 0


def _processes(known: argparse.Namespace) -> int:
    """How many processes a command of `train` is for; under torchrun that is torchrun's."""
    import torch

    if known.processes is not None and known.processes < 1 or known.restarts < 0:
        raise InputError(
            f"--processes {known.processes} --restarts {known.restarts}: at least 1 process and 0 restarts"
        )
    if known.processes is not None:
        return known.processes
    if known.parallel is None:
        return 1
    return 2 if known.parallel == "columns" else max(2, torch.cuda.device_count())


def _train_in_process(args: list[str]) -> int:
    from alexnet.cli.main import main  # which loads this

    code = main(["train", *args])
    if code in (0, 1, 2):
        return code
    # Told to stop, or left alone: the agent then looks for processes that end, and not for what they return.
    raise SystemExit(code)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that SIGTERM, SIGINT and SIGHUP are put into, instead of ending the process; a second one ends it at once.

    But not a second SIGHUP, as the system and the shell both send one when a terminal is closed; and none under nohup.
    """
    from alexnet.processes import STOPPING

    caught: list[int] = []
    first = 0.0
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]
    hang_up = getattr(signal, "SIGHUP", None)

    def catch(number: int, frame: object) -> None:
        nonlocal first
        if number == hang_up:
            for stream in terminals:  # whoever writes to a terminal that is gone gets an error
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        told_twice = "TORCHELASTIC_RUN_ID" in os.environ or hang_up in caught
        if not caught:
            first = time.monotonic()
        elif number == hang_up or (told_twice and time.monotonic() - first < PASSED_ON):
            return
        else:
            signal.signal(number, signal.SIG_DFL)  # what is on disk by then is whole
            signal.raise_signal(number)
        caught.append(number)

    heard = [number for number in STOPPING if number != hang_up or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, catch) for number in heard}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


PASSED_ON = 10.0
"""Seconds in which a second signal is the first one again: to one of several processes, as a terminal tells all of them and the
agent that started them, which tells them too; and after SIGHUP, as whoever ends a session sends SIGTERM next."""


FEW_UPDATES = 300
"""Below this a network that starts from nothing has hardly begun to learn; the warning says so."""


def _say_start(now: Any, folder: Path) -> None:
    threads = f"{now.threads} threads, " if now.device == "cpu" else ""
    err.print(
        f"network {now.network}, {now.classes} classes, on {now.device} ({threads}{now.precision}): {now.images:,} training images,"
        f" {now.steps:,} updates an epoch, {now.validation_images:,} images ({now.validation}) to validate; run folder {folder}",
        soft_wrap=True,
    )
    if now.done == 0 and 0 < now.updates < FEW_UPDATES:
        err.print(
            f"only {now.updates} updates of the weights in all, too few to learn much from nothing: use a smaller --batch or more"
            " --epochs; with few images train demo, a small network, or start --from a trained run",
            soft_wrap=True,
        )
