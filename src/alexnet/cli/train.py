"""alexnet train: a recipe and a prepared dataset into a run."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from alexnet.cli.console import argument_parser, choose_named, err, first_name, out, out_line, print_json
from alexnet.cli.progress import Bar
from alexnet.errors import InputError
from alexnet.extras import lacking
from alexnet.words import counted

if TYPE_CHECKING:
    from alexnet.data.prepared import Prepared
    from alexnet.run.recipe import Recipe
    from alexnet.training import Outcome, Start


def train(args: list[str]) -> int:
    """Train a recipe into a run folder, go on with a run, or fine-tune one on other images."""
    from alexnet import processes, training
    from alexnet.data import prepared
    from alexnet.run import folder, trained
    from alexnet.run import recipe as recipes
    from alexnet.run.images import check_fit
    from alexnet.run.locate import public_name
    from alexnet.training.start import check_parallel, extend

    parser = _parser()
    known, rest = parser.parse_known_args(args)
    weights = epochs = None
    if known.resume:
        epochs, rest = _epochs(rest)
        if rest or known.out or known.start or known.network:
            raise InputError(
                f"--resume {known.resume} goes on with the run's own recipe; only --data and --epochs can stand beside it"
            )
        recipe, run = recipes.read(known.resume), known.resume
        data = known.data or folder.data_of(run, there=True)
    else:
        start = trained.start_of(known.start) if known.start else None
        chosen = _recipe(known, rest, start[0] if start else None)
        if chosen is None:
            parser.print_help()
            return 0
        weights = start[1] if start else None
        recipe, data, run = chosen, known.data, known.out or Path("runs") / f"{chosen.name}-{chosen.seed}"
    opened = prepared.open(data)
    if epochs is not None and epochs != recipe.epochs:
        if processes.launched():
            raise InputError(f"--epochs {epochs}: one process gives a run more epochs; call it once without torchrun")
        recipe = extend(run, epochs)
    number = _processes(known)
    if number > 1 and not processes.launched():
        check_parallel(check_fit(recipe, opened), known.parallel or "data", number)
        processes.Processes(0, number).device(recipe.device)
        return processes.launch(number, known.restarts, _train_in_process, args)
    with processes.joined(recipe.device) as place, stop_signals() as caught, Bar("training", err) as bar:
        outcome = training.train(
            recipe,
            opened,
            run,
            resume=bool(known.resume),
            start_from=weights,
            progress=bar.training,
            stop=lambda: bool(caught),
            started=lambda start: _say_start(start, run),
            processes=place,
            parallel=known.parallel or ("data" if place.number > 1 else "none"),
            say=lambda line: err.print(line, soft_wrap=True),
            start_name=public_name(known.start) if known.start else None,
        )
    if place.first:
        _say_end(outcome, len(opened.classes), _report(run, opened), known.json)
    # Another process may have been told to stop.
    return 0 if outcome.finished else 128 + (caught or [signal.SIGTERM])[0]


def _report(run: Path, opened: "Prepared") -> Path | None:
    if lacking("report"):
        return None
    from alexnet.insight import report

    return report.write(run, opened)


def _parser() -> argparse.ArgumentParser:
    from alexnet.network.networks import networks
    from alexnet.run.recipes import recipes

    usage = (
        "RECIPE --data DIR [--out RUN] [--epochs N] [--seed S] [--network.normalization none] ...\n"
        "       alexnet train --resume RUN [--epochs N]\n"
        "       alexnet train RECIPE --data DIR --parallel columns|data|hybrid [--processes N]\n"
        "       alexnet train [RECIPE] --from RUN --data DIR [--out RUN]\n\n"
        f"Recipes: {', '.join(recipes)}. `alexnet train RECIPE --help` lists every field that can be set."
    )
    parser = argument_parser("train", usage, train, add_help=False)
    parser.add_argument("--data", type=Path, help="a prepared dataset (alexnet prepare)")
    parser.add_argument("--out", type=Path, help="the run folder to make; by default runs/RECIPE-SEED")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run")
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="RUN",
        help="start from the weights of this run, network file, hf:OWNER/NAME of the Hugging Face hub, or of starter, the network"
        " that comes with the package; with a new last layer",
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
    return parser


def _epochs(rest: list[str]) -> tuple[int | None, list[str]]:
    """The value of --epochs beside --resume, and the arguments that are left."""
    parser = argparse.ArgumentParser(prog="alexnet train --resume RUN", add_help=False)
    parser.add_argument("--epochs", type=int)
    known, left = parser.parse_known_args(rest)
    return known.epochs, left


def _recipe(known: argparse.Namespace, rest: list[str], start: "Recipe | None") -> "Recipe | None":
    """The recipe that RECIPE, --from, --network and the options of its fields in `rest` mean; None where only help is asked.

    start: that of the network in --from.
    """
    from alexnet.network.named import network_of
    from alexnet.run import recipe as recipes
    from alexnet.run.recipes import continued, fine_tuned, finetune
    from alexnet.run.recipes import recipes as named

    name = first_name(rest, named)
    if name is None and ("-h" in rest or "--help" in rest):
        return None
    if name is None and not start:
        raise InputError(
            f"the first argument must be a RECIPE ({', '.join(named)}), --resume RUN or --from RUN;"
            " see alexnet train --help"
        )
    if name is not None:
        recipe = choose_named(named, name, "RECIPE", "recipe")
        rest.remove(name)
    if start:
        recipe = continued(start, recipe) if name else fine_tuned(start, start.network.classes)
    if known.network:
        recipe = replace(recipe, network=replace(network_of(known.network), classes=recipe.network.classes))
    recipe = tyro.cli(recipes.Recipe, default=recipe, args=rest, prog=f"alexnet train {name or ''}".rstrip())
    recipe.check()
    if name == finetune.name and not start:
        raise InputError("finetune goes on from a trained run: alexnet train finetune --from RUN --data DIR")
    if known.data is None:
        raise InputError(
            "--data DIR is missing: the folder of a prepared dataset (alexnet prepare SOURCE DIR makes one)"
        )
    return recipe


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


def _say_start(start: "Start", run: Path) -> None:
    if start.restarted:
        err.print("this job's run is there; all go on from its last checkpoint")
    network, updates = start.recipe.network, start.steps * start.recipe.epochs
    threads = f"{start.threads} threads, " if start.device == "cpu" else ""
    err.print(
        f"network {network.name}, {network.classes} classes, on {start.device} ({threads}{start.precision}): {start.images:,}"
        f" training images, {start.steps:,} updates an epoch, {start.validation_images:,} images ({start.validation}) to validate;"
        f" run folder {run}",
        soft_wrap=True,
    )
    for lacks in filter(None, (*start.left_out, lacking("report"))):
        err.print(f"left out: {lacks}", soft_wrap=True)
    epoch, step = divmod(start.done, start.steps)
    if start.finished and epoch < start.recipe.epochs:
        err.print(f"it ended by itself after {epoch} of {start.recipe.epochs} epochs, as its error fell no more")
    elif start.finished:
        err.print(
            f"it has all its {start.recipe.epochs} epochs; more: alexnet train --resume {run} --epochs N",
            soft_wrap=True,
        )
    elif start.done:
        err.print(f"it goes on in epoch {epoch + 1} after {step:,} of {start.steps:,} updates")
    elif updates < FEW_UPDATES and not start.pretrained:
        err.print(
            f"only {counted(updates, 'update')} of the weights in all, too few to learn much from nothing: use a smaller"
            " --batch or more --epochs; with few images start --from starter, the network that comes with the package",
            soft_wrap=True,
        )


def _say_end(outcome: "Outcome", classes: int, page: Path | None, json: bool) -> None:
    last = outcome.last
    if json:
        print_json({**outcome.to_dict(), "report": page and str(page)})
    else:
        if "validation_top1" in last:
            five = f", top-5 {last['validation_top5']:.2f} %" if classes > 5 else ""
            out.print(f"epoch {last['epoch']}: validation error top-1 {last['validation_top1']:.2f} %{five}")
        out_line(f"run folder {outcome.run}" + (f", report {page}" if page else ""))
    if not outcome.finished:
        err.print(f"stopped; go on with: alexnet train --resume {outcome.run}", soft_wrap=True)
