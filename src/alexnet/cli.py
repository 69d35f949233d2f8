"""The commands. No logic of their own: the only place that prints, exits and turns errors into exit codes.

0: done. 2: bad input, one line on stderr that names it and the fix. 1: a run that failed. 3: done, but for images that could
not be read. 128 + signal: stopped by one. 75: one of several processes, which has lost the others.
With `--json` a command prints one JSON document on stdout; everything else always goes to stderr.
"""

import argparse
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tyro.conf import FlagCreatePairsOff, Positional

from alexnet.errors import InputError, RunFailed, out_of_memory
from alexnet.files import named, no_room, refused
from alexnet.progress import Bar
from alexnet.reading import read_json
from alexnet.terminal import STDOUT, Terminal, visible

out = Terminal()
err = Terminal(stderr=True)


def _print_json(value: Any) -> None:
    with named(STDOUT):
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


# --- alexnet summary --------------------------------------------------------------------------------------------------


def summary(args: list[str]) -> int:
    """Sizes, parameters, neurons and multiply-adds of a network, beside the paper's figures."""
    from alexnet.network import summary as summaries
    from alexnet.network.named import network_of
    from alexnet.network.spec import Network, networks

    usage = (
        "NETWORK [--json] [--classes N] [--normalization none] ...\n\n"
        f"Networks: {', '.join(networks)}, or a .json file (alexnet import). `alexnet summary NETWORK --help` lists every"
        " field that can be set."
    )
    parser = _parser("summary", usage, summary, add_help=False)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument(
        "--all", action="store_true", help="more columns: kernels, initial values, what follows a layer"
    )
    known, rest = parser.parse_known_args(args)
    name = _first(rest, networks)
    if name is None and ("-h" in rest or "--help" in rest):
        parser.print_help()
        return 0
    spec = network_of(name or "paper")
    if name is not None:
        rest.remove(name)
    if rest:
        spec = tyro.cli(Network, default=spec, args=rest, prog=f"alexnet summary {spec.name}")
    made = summaries.summarize(spec)
    if known.json:
        _print_json(made.to_dict())
        return 0
    columns = [
        at
        for at, name in enumerate(summaries.HEADINGS)
        if name not in ("kernels", "size, stride, padding", "then", "init std", "bias") or known.all
    ]
    table = Table(
        title=f"{spec.name}: {spec.input_size}×{spec.input_size} RGB → {spec.classes} classes", title_justify="left"
    )
    for at in columns:
        heading = summaries.HEADINGS[at]
        table.add_column(
            heading, justify="right" if heading in ("parameters", "multiply-adds", "neurons") else "left", no_wrap=True
        )
    for row in made.rows_for_table():
        table.add_row(*(row[at] for at in columns))
    _wide(table)
    totals = Table("in all", spec.name, *(["the paper"] if made.comparable else []))
    for what, here, paper in made.totals():
        totals.add_row(what, here, *([paper] if made.comparable else []))
    _wide(totals)
    return 0


def _wide(table: Table) -> None:
    """Print a table unsqueezed, whatever the width of the terminal, if there is one."""
    Terminal(width=Terminal(width=1000).measure(table).maximum).print(table)


# --- alexnet prepare, alexnet data ------------------------------------------------------------------------------------


def prepare(
    source: Positional[str],
    dest: Positional[Path],
    size: int | None = None,
    max_bad: float = 0.01,
    workers: int | None = None,
    store: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    classes: tuple[str, ...] = (),
    cluster: str | None = None,
    plan: bool = False,
    machines: int | None = None,
    as_images: int | None = None,
    as_classes: int | None = None,
    json: bool = False,
) -> int:
    """Turn a source of labelled images into a prepared dataset: shorter side to 256, central crop, RGB (§2).

    Killed at any moment, the same command goes on where it was; on a finished dataset it does nothing.

    Args:
        source: a folder of class folders; a folder with the ILSVRC-2012 archives; a tar per class, in a folder or in one
            tar (Fall 2011); a .csv, .tsv, .json or .txt that lists paths and labels; hf:NAME or .parquet files; an .npz of
            arrays; or "builtin", photographs that come with the dependencies.
        dest: folder of the prepared dataset.
        size: side of the prepared images in pixels; by default 256 (64 for the built-in set).
        max_bad: share of unreadable images above which the command fails.
        workers: threads that decode; by default one a core. With --cluster, those of one task: by default 4.
        store: raw keeps the pixels, fastest to read; jpeg keeps JPEGs, in about a sixth of the space.
        quality: of those JPEGs, 1 to 100.
        classes: only these classes of the source, by name or WordNet id; by default all.
        cluster: in shards over the machines of a Ray cluster, whose address is this: auto for the one that this machine is
            in, local to start one on this machine. SOURCE and DEST lie on storage that all machines see.
        plan: write nothing; say how many images there are, and what preparing them takes in space and time, measured by
            preparing a few hundred of them in memory.
        machines: of the plan: like this one, in a cluster; by default 1.
        as_images: of the plan: as if the source had so many such images.
        as_classes: of the plan: in so many classes.
        json: print one JSON document on stdout.
    """
    from alexnet.data.prepare import prepare as prepare_images
    from alexnet.data.sources import open_source
    from alexnet.data.sources.chosen import choose
    from alexnet.data.sources.passed import PassedOver
    from alexnet.data.sources.source import only_class
    from alexnet.device import keep_memory

    for option, value in (("machines", machines), ("as-images", as_images), ("as-classes", as_classes)):
        if value is not None and not plan:
            raise InputError(f"--{option} {value}: belongs to --plan; give that too")
    keep_memory()
    if cluster and Path(source).expanduser().exists():
        source = str(Path(source).expanduser().absolute())  # workers stand in other folders
    opened = open_source(source)
    opened = choose(opened, classes) if classes else opened
    if len(opened.classes) == 1:
        err.print(f"alexnet prepare: {only_class(opened.classes[0])}", soft_wrap=True)
    if plan:
        from alexnet.data.plan import plan as plan_of

        number = 1 if machines is None else machines
        planned = plan_of(opened, dest, size, store, quality, workers, number, as_images, as_classes)
        if json:
            _print_json(planned.to_dict())
            return 0
        for line in planned.lines():
            out.print(line, soft_wrap=True)
        return 0
    err.print(f"{opened.description} → {dest}", soft_wrap=True)
    if (dest / "manifest.json").is_file():
        err.print("already prepared; checking that it is this source")
    with ExitStack() as stack:
        make: Callable[..., Any] = partial(prepare_images, workers=workers)
        if cluster:
            from alexnet.data import cluster as clusters

            make = partial(clusters.prepare, crew=stack.enter_context(clusters.ray_crew(cluster, workers)))
        bar = stack.enter_context(Bar("images", err))
        done = make(
            opened,
            dest,
            size=size,
            max_bad=max_bad,
            store=store,
            quality=quality,
            progress=lambda now: bar.update(
                now.split, now.done, now.total, _speed(now.images_per_second), now.seconds_left, now.skipped
            ),
        )
    all_skipped = [item for name in done.splits for item in done.manifest["splits"][name]["skipped"]]
    splits = {
        name: {"images": part["images"], "skipped": part["skipped"], "classes": list(done.classes)}
        for name, part in done.manifest["splits"].items()
    }
    passed = PassedOver(done.manifest.get("passed_over", {}))
    if json:
        document = {
            "path": str(dest),
            "size": done.size,
            "classes": list(done.classes),
            "passed_over": passed.to_json(),
        }
        totals = {"images": sum(part["images"] for part in splits.values()), "skipped": all_skipped}
        _print_json({**document, **totals, "splits": splits, **splits})
        return 0
    for name, part in splits.items():
        out.print(f"{name}: {part['images']:,} images of {len(done.classes)} classes, {len(part['skipped'])} skipped")
    if passed:
        out.print(f"passed over: {passed}", soft_wrap=True)
    if passed.fix:
        err.print(f"alexnet prepare: {passed.fix}", soft_wrap=True)
    for item in all_skipped[:10]:
        out.print(f"skipped {item['file']}: {item['reason']}", soft_wrap=True)
    if len(all_skipped) > 10:
        out.print(f"... and {len(all_skipped) - 10} more, all in {dest / 'manifest.json'}")
    return 0


def _speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f} images/s" if images_per_second else "there already"


def data(dest: Positional[Path], sheet: Path | None = None, json: bool = False) -> int:
    """Describe a prepared dataset, check it against its checksums, and draw a contact sheet.

    Args:
        dest: folder of the prepared dataset.
        sheet: where to draw the contact sheet; by default contact-sheet.png in the dataset's folder.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets
    from alexnet.data.sources.passed import PassedOver
    from alexnet.insight import contact_sheet

    opened = prepared_sets.open(dest)
    problems = opened.check()
    picture = None if problems else sheet or dest / "contact-sheet.png"
    if picture:
        shown = opened.sample(opened.splits[0], 6 if len(opened.classes) <= 20 else 1)
        try:
            contact_sheet.draw(shown.images[:], [opened.classes[label] for label in shown.labels], picture)
        except OSError as error:  # a dataset that may be read only is as good
            if sheet:
                raise
            err.print(f"no contact sheet ({refused(error)}); name a place for it with --sheet", soft_wrap=True)
            picture = None
    if json:
        _print_json({**opened.describe(), "problems": problems, "sheet": picture and str(picture)})
    else:
        facts = opened.describe()
        out.print(
            f"{facts['source']}, prepared at {facts['size']}×{facts['size']}"
            f"{', JPEGs of quality ' + str(facts['quality']) if facts['quality'] else ''}, {facts['bytes'] / 1e6:,.0f} MB",
        )
        table = Table("class", *facts["splits"])
        for column in table.columns[1:]:
            column.justify = "right"
        for name in facts["classes"][:100]:
            table.add_row(name, *(f"{part['per_class'][name]:,}" for part in facts["splits"].values()))
        table.add_section()
        table.add_row("all", *(f"{part['images']:,}" for part in facts["splits"].values()), style="bold")
        table.add_row("skipped", *(f"{len(part['skipped']):,}" for part in facts["splits"].values()))
        out.table(table)
        if len(facts["classes"]) > 100:
            out.print(f"the first 100 of {len(facts['classes'])} classes")
        if passed := PassedOver(facts["passed_over"]):
            out.print(f"passed over when it was prepared: {passed}")
        rgb, roots = (", ".join(f"{value:.2f}" for value in facts[key]) for key in ("mean_colour", "eigenvalue_roots"))
        out.print(f"mean colour (RGB, 0-255): {rgb}")
        out.print(f"standard deviation along the principal components of RGB: {roots}")
        if not problems:
            out.print("whole: sizes, labels and checksums are right")
        if picture:
            out.print(f"contact sheet: {picture}", soft_wrap=True)
    for problem in problems:
        err.print(f"alexnet data: {problem}", soft_wrap=True)
    return 2 if problems else 0


# --- alexnet pack, alexnet unpack -------------------------------------------------------------------------------------


def pack(
    dataset: Positional[Path],
    dest: Positional[Path],
    source: str | None = None,
    megabytes: float = 55.0,
    workers: int | None = None,
    json: bool = False,
) -> int:
    """Cut a prepared dataset into pieces that travel one at a time, for `alexnet unpack` on another machine.

    Args:
        dataset: folder of the prepared dataset.
        dest: folder for the pieces, DATASET-01-of-03.tar and so on.
        source: what the dataset was prepared from, as for `alexnet prepare`. Then these images travel instead, as they are,
            and are prepared again there: the same pixels in far fewer bytes.
        megabytes: what a piece takes at most, of 10^6 bytes.
        workers: threads that compress; by default one a core.
        json: print one JSON document on stdout.
    """
    from alexnet.data import pack as packing
    from alexnet.data import prepared as prepared_sets
    from alexnet.data.sources import open_source

    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    opened = prepared_sets.open(dataset)
    begun = time.monotonic()
    with Bar("MB", err) as bar:

        def show(done: int) -> None:
            speed = done / 1e6 / max(time.monotonic() - begun, 1e-9)
            bar.update(dataset.name, round(done / 1e6), None, f"{speed:,.0f} MB/s")

        pieces = packing.pack(opened, dest, megabytes, open_source(source) if source else None, workers, show)
    if json:
        written = [{"path": str(path), "bytes": path.stat().st_size} for path in pieces]
        _print_json({"pieces": written, "travels": "source" if source else "set"})
        return 0
    for path in pieces:
        out_line(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    out_line(f"there: alexnet unpack PIECE ... DEST, in any order, at once or one by one; {len(pieces)} in all")
    return 0


def unpack(paths: Positional[tuple[Path, ...]], workers: int | None = None, json: bool = False) -> int:
    """PIECE ... DEST: put the pieces of `alexnet pack` together into the prepared dataset DEST, in any order, as they come.

    Until all have come and the dataset is checked, it lies in DEST.unpacking, and a piece that has come may be deleted.
    Killed at any moment, the same command goes on.

    Args:
        paths: any pieces, none if all have come, and last the folder of the prepared dataset.
        workers: threads that work; by default one a core.
        json: print one JSON document on stdout.
    """
    from alexnet.data import unpack as unpacking
    from alexnet.device import keep_memory

    if not paths or paths[-1].is_file():
        raise InputError("DEST is missing: alexnet unpack PIECE ... DEST, the folder of the prepared dataset last")
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    *pieces, dest = paths
    keep_memory()
    if unpacking.would_be_committed(dest):
        err.print(
            f"alexnet unpack: {dest} lies in a git checkout that does not ignore it; a folder outside is better",
            soft_wrap=True,
        )
    with Bar("images", err) as bar:
        done = unpacking.unpack(
            pieces,
            dest,
            workers,
            lambda now: bar.update(
                now.split, now.done, now.total, _speed(now.images_per_second), now.seconds_left, now.skipped
            ),
        )
    whole = done.whole
    if not done.identical:
        err.print(
            f"alexnet unpack: {dest} was prepared here from the images that travelled, and has other pixels than the dataset"
            " that was packed: this machine's JPEG decoder or resizing is another. It is whole; runs on it are runs on"
            " other data.",
            soft_wrap=True,
        )
    if json:
        counts = {"pieces": whole.pieces, "missing": list(done.missing), "complete": done.dataset is not None}
        identical = done.identical if done.dataset else None
        _print_json({"path": str(dest), **counts, "there_before": done.there_before, "identical": identical})
    elif done.missing:
        names = [whole.called(number) for number in done.missing]
        shown = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
        out_line(f"{dest}: {whole.pieces - len(names)} of {whole.pieces} pieces; missing: {shown}")
    else:
        out_line(f"{dest}: " + ("there already, nothing to do" if done.there_before else "whole, and checked"))
    return 0


# --- alexnet train ----------------------------------------------------------------------------------------------------


def train(args: list[str]) -> int:
    """Train a recipe into a run folder, go on with a run, or fine-tune one on other images."""
    from alexnet import processes
    from alexnet.data import prepared as prepared_sets
    from alexnet.network.named import network_of
    from alexnet.network.spec import networks
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
    parser = _parser("train", usage, train, add_help=False)
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
    name = _first(rest, named.recipes)
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
        data_path = known.data or _data_of(known.resume, there=True)
    else:
        if known.start:
            start = recipe.read(known.start)
            weights = checkpoint.weights(checkpoint.newest(known.start))
            how = _named(named.recipes, name, "RECIPE", "recipe") if name else None
            chosen = named.continued(start, how) if how else named.fine_tuned(start, start.network.classes)
        elif name is None:
            raise InputError(
                f"the first argument must be a RECIPE ({', '.join(named.recipes)}), --resume RUN or --from RUN;"
                " see alexnet train --help"
            )
        else:
            chosen = _named(named.recipes, name, "RECIPE", "recipe")
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

    with processes.joined(chosen.device) as here, _signals() as caught, Bar("training", err) as bar:
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
    page = _report(folder, opened)
    document = {
        "run": str(folder),
        "finished": outcome.finished,
        "epochs": outcome.epochs,
        "report": str(page),
        **{key: value for key, value in outcome.last.items() if key not in ("kind", "epoch", "time")},
    }
    if known.json:
        _print_json(document)
    else:
        last = outcome.last
        if "validation_top1" in last:
            five = f", top-5 {last['validation_top5']:.2f} %" if len(opened.classes) > 5 else ""
            out.print(f"epoch {last['epoch']}: validation error top-1 {last['validation_top1']:.2f} %{five}")
        out.print(f"run folder {folder}, report {page}", soft_wrap=True)
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
    code = main(["train", *args])
    if code in (0, 1, 2):
        return code
    # Told to stop, or left alone: the agent then looks for processes that end, and not for what they return.
    raise SystemExit(code)


@contextmanager
def _signals() -> Iterator[list[int]]:
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


def _data_of(run: Path, there: bool = False) -> Path:
    """The prepared dataset that a run was trained on; InputError if that is not known, or has to be `there` and is not."""
    try:
        remembered = read_json(run / "data.json")
        path = Path(remembered["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{run}: no readable data.json in it, so it is no run folder, or a damaged one; say --data DIR"
        ) from None
    if there and not path.is_dir() and "imported" in remembered:
        raise InputError(f"{run}: its weights are imported, from {remembered['imported']}; say --data DIR")
    if there and not path.is_dir():
        raise InputError(f"{path}: the data of {run} is not there any more; say --data DIR if it was moved")
    return path


def _report(run: Path, opened: Any) -> Path:
    from alexnet.insight import report as reports

    return reports.write(run, opened)


# --- alexnet evaluate, predict, report --------------------------------------------------------------------------------


def evaluate(
    runs: Positional[tuple[Path, ...]] = (),
    data: Path | None = None,
    views: int = 1,
    split: str = "val",
    weights: Literal["mean", "search"] = "mean",
    search_on: float | None = None,
    seed: int = 0,
    images: str | None = None,
    submission: Path | None = None,
    devkit: Path | None = None,
    keep: bool = True,
    batch: int = 64,
    device: str = "auto",
    precision: Literal["auto", "float32", "bf16"] | None = None,
    json: bool = False,
) -> int:
    """Top-1 and top-5 error of a run on a prepared dataset, over one view or ten (§4.1, §6), and of several runs averaged.

    Of one run: errors by class, a confusion picture, and the report written again. Of several: each one's error and that of
    the mean of their class probabilities (§6, Table 2). Runs may be of different networks and image sizes; classes and
    images have to be the same. Probabilities are kept in RUN/predictions and read again while nothing has changed; of one run
    alone only up to 1 GB of them. There is a confusion picture up to 1,000 classes. Under torchrun the processes share the
    images.

    Args:
        runs: run folders.
        data: a prepared dataset; by default the one each run was trained on.
        views: 1 (centre crop) or 10 (corners and centre, mirrored too), probabilities averaged.
        split: which images: val (test where there is no val; the held-out share where there is neither), train, test.
        weights: mean: the plain mean. search: also with weights found on labels, as the 2012 group did.
        search_on: share of the images whose labels the search sees; errors are then of the others.
        seed: of the draw of that share.
        images: images without labels, for a submission: a folder, a glob, or a .tar (ILSVRC2012_img_test.tar).
        submission: write the five labels of each image into this file, one line an image, as the ILSVRC server takes
            them; without a run, check such a file and measure it on --data.
        devkit: ILSVRC2012_devkit_t12.tar.gz, whose ids are the labels of a submission; without it, 1, 2, ... by class.
        keep: keep probabilities for the next time, and use those kept; else they are computed and not written.
        batch: images at a time.
        device: auto, cpu, cuda or mps.
        precision: what is computed in, where it is not to be the run's: auto is bf16 where the device multiplies it.
        json: print one JSON document on stdout.
    """
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    if batch < 1:
        raise InputError(f"--batch {batch}: must be at least 1")
    if images and not submission:
        raise InputError(f"--images {images}: they have no labels to measure an error on; add --submission FILE")
    if search_on is not None and (weights != "search" or not 0 < search_on < 1):
        raise InputError(f"--search-on {search_on}: a share between 0 and 1, beside --weights search")
    if weights == "search" and (len(runs) < 2 or images):
        raise InputError("--weights search: needs two runs or more, and images with labels")
    if not runs:
        if submission is None or data is None:
            raise InputError(
                "evaluate needs a RUN, the folder of a trained run, or several to average; or --submission FILE and --data DIR"
                " to measure a file"
            )
        return _evaluate_file(submission, data, split, devkit, json)
    from alexnet.processes import joined

    with joined(device) as here:
        how = {
            "views": views,
            "batch": batch,
            "device": here.device(device),
            "keep": keep,
            "processes": here,
            "precision": precision,
        }
        if images:
            assert submission
            return _submit(runs, images, submission, devkit, json, how)
        if len(runs) > 1:
            searched = weights == "search"
            return _evaluate_many(runs, data, split, searched, search_on, seed, submission, devkit, json, how)
        return _evaluate_one(runs[0], data, split, submission, devkit, json, how)


def _probabilities(run: Path, judged: Any, how: dict[str, Any]) -> Any:
    """Class probabilities of a run, with a bar while they are computed."""
    from alexnet.evaluation import kept

    return _with_bar(kept.probabilities, run, judged, how)


def _with_bar(work: Callable[..., Any], run: Path, judged: Any, how: dict[str, Any]) -> Any:
    from alexnet.device import keep_memory, pick

    keep_memory()
    with Bar("images", err) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(f"{run.name}, {judged.where}", done, total)

        shown = progress if how["processes"].first else None
        return work(run, judged, **{**how, "device": pick(how["device"])}, progress=shown)


def _judged(run: Path, data: Path | None, split: str) -> tuple[Any, Any]:
    """The prepared dataset that a run is evaluated on, and the images of its split; InputError if it has other classes."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.evaluation import kept
    from alexnet.run import checkpoint, recipe

    of, classes = recipe.read(run), kept.classes_of(run)
    checkpoint.newest(run)
    opened = prepared_sets.open(data or _data_of(run, there=True))
    if opened.classes != classes:
        raise InputError(
            f"{opened.path}: its classes are not the run's, or in another order ({len(opened.classes)} against"
            f" {len(classes)}); evaluate on data with the classes in {run / 'classes.json'}"
        )
    return opened, kept.of_split(of, opened, split)


def _evaluate_one(
    run: Path,
    data: Path | None,
    split: str,
    submission: Path | None,
    devkit: Path | None,
    json: bool,
    how: dict[str, Any],
) -> int:
    from alexnet.device import pick
    from alexnet.evaluation import ensemble, kept
    from alexnet.evaluation.errors import CONFUSED
    from alexnet.insight import confusion
    from alexnet.insight.picture import with_word
    from alexnet.run import checkpoint

    opened, judged = _judged(run, data, split)
    ids = _ids_of(submission, opened.classes, devkit)
    views, where = how["views"], judged.where
    probabilities, size = None, kept.bytes_of(run, judged)
    if submission is None and size > kept.MOST:
        measured = _with_bar(kept.measure, run, judged, {name: how[name] for name in how if name != "keep"})
    else:
        probabilities = _probabilities(run, judged, how)
    if not how["processes"].first:  # one speaks for all
        return 0
    if probabilities is None:
        err.print(f"class probabilities are not kept: they would take {size / 1e9:,.1f} GB")
    else:
        measured = ensemble.measure(probabilities, judged.labels, opened.classes, views, confusion=True)
    precision = kept.precision_of(run, pick(how["device"]), how["precision"])
    measured = replace(measured, checkpoint=checkpoint.newest(run).name, precision=precision)
    name = f"{where.replace(' ', '-')}-{views}views"
    files = [run / f"evaluation-{name}.json"]
    measured.save(files[0])
    if measured.confusion is None:
        err.print(f"no confusion matrix: {len(opened.classes):,} classes; up to {CONFUSED:,} have one")
    else:
        files.append(run / f"confusion-{name}.png")
        confusion.draw(measured.confusion, opened.classes, files[1])
    files.append(_report(run, opened))
    written = _write_submission(submission, probabilities, judged, opened.classes, ids)
    if json:
        _print_json({"run": str(run), "data": str(opened.path), "split": where, **written, **measured.to_dict()})
        return 0
    number = f"{measured.images:,} images, {views} view{'s' * (views > 1)}, {precision}"
    out.print(f"{run}, {measured.checkpoint}, on {opened.path} ({where}, {number})", soft_wrap=True)
    five = len(opened.classes) > 5  # with fewer classes every answer is among the first five
    table = Table("class", "images", "top-1 error %", *(["top-5 error %"] if five else []))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in measured.per_class[:100]:
        errors_of_class = (_percent(row["top1_error"]), _percent(row["top5_error"]))[: 1 + five]
        table.add_row(with_word(row["label"]), str(row["images"]), *errors_of_class)
    table.add_section()
    of_all = (_percent(measured.top1_error), _percent(measured.top5_error))[: 1 + five]
    table.add_row("all", str(measured.images), *of_all, style="bold")
    out.table(table)
    if len(measured.per_class) > 100:
        out.print(f"the first 100 of {len(measured.per_class)} classes")
    out.print(f"all of it: {', '.join(map(str, files))}", soft_wrap=True)
    _say_submission(written)
    return 0


def _evaluate_many(
    runs: tuple[Path, ...],
    data: Path | None,
    split: str,
    searched: bool,
    search_on: float | None,
    seed: int,
    submission: Path | None,
    devkit: Path | None,
    json: bool,
    how: dict[str, Any],
) -> int:
    from alexnet.evaluation import ensemble
    from alexnet.run import checkpoint

    both = [_judged(run, data, split) for run in runs]
    classes, judged = both[0][0].classes, both[0][1]
    ensemble.check_alike(runs, [opened.classes for opened, _ in both], [own for _, own in both])
    ids = _ids_of(submission, classes, devkit)
    probabilities = [_probabilities(run, own, how) for run, (_, own) in zip(runs, both, strict=True)]
    if not how["processes"].first:
        return 0
    made = ensemble.average(
        [str(run) for run in runs],
        probabilities,
        judged.labels,
        classes,
        how["views"],
        searched,
        search_on,
        seed,
    )
    each = tuple(replace(one, checkpoint=checkpoint.newest(run).name) for one, run in zip(made.each, runs, strict=True))
    made = replace(made, each=each)
    averaged = ensemble.mean(probabilities, made.weights)
    written = _write_submission(submission, averaged, judged, classes, ids)
    if made.same_labels:
        err.print(
            "warning: the weights were searched on the labels that these errors are reported on, as in 2012, so the weighted"
            " mean looks better than it is; --search-on 0.5 searches on one half and reports on the other",
            soft_wrap=True,
        )
    if json:
        where = {"data": [str(opened.path) for opened, _ in both], "split": judged.where}
        _print_json({**where, **written, **made.to_dict()})
        return 0
    five = len(classes) > 5
    table = Table(
        "network", *(["weight"] if made.weights else []), "top-1 error %", *(["top-5 error %"] if five else [])
    )
    for column in table.columns[1:]:
        column.justify = "right"
    shares = [f"{share:.3f}" for share in made.weights or ()]
    for k, (name, one) in enumerate(zip(made.runs, made.each, strict=True)):
        figures = (_percent(one.top1_error), _percent(one.top5_error))[: 1 + five]
        table.add_row(name, *([shares[k]] if shares else []), *figures)
    table.add_section()
    means = [("mean of their probabilities", made.mean, "equal")]
    means += [("mean with these weights", made.weighted, "")] if made.weighted else []
    for name, one, share in means:
        figures = (_percent(one.top1_error), _percent(one.top5_error))[: 1 + five]
        table.add_row(name, *([share] if shares else []), *figures, style="bold")
    number = f"{made.mean.images:,} images, {how['views']} view{'s' * (how['views'] > 1)}"
    out.print(f"{len(runs)} networks on {judged.where}, {number}")
    out.table(table)
    against = made.against()
    for name, text in (("average", "their average"), ("best", f"the best one, {made.best}")):
        differences = " / ".join(f"{value:+.2f}" for value in against[name][: 1 + five]).replace("-", "−")
        out_line(f"the mean against {text}: {differences} points")
    if searched:
        on = "the same images" if made.same_labels else f"{made.searched_on:,} other images"
        out_line(f"weights: searched on the labels of {on}")
    _say_submission(written)
    return 0


def _submit(
    runs: tuple[Path, ...], images: str, submission: Path, devkit: Path | None, json: bool, how: dict[str, Any]
) -> int:
    from alexnet.evaluation import ensemble, kept, unlabelled
    from alexnet.run import trained

    classes = [kept.classes_of(run) for run in runs]
    ids = _ids_of(submission, classes[0], devkit)
    sizes = [len(trained.statistics_of(run)[0]) for run in runs]
    of_size = {size: unlabelled.unlabelled(images, size) for size in sizes}
    all_judged = [of_size[size] for size in sizes]
    ensemble.check_alike(runs, classes, all_judged)
    probabilities = [_probabilities(run, judged, how) for run, judged in zip(runs, all_judged, strict=True)]
    for name, reason in unlabelled.bad(of_size.values()).items():  # each process has read others
        err.print(f"{name}: {reason}; judged as a grey image", soft_wrap=True)
    if not how["processes"].first:
        return 0
    written = _write_submission(submission, ensemble.mean(probabilities), all_judged[0], classes[0], ids)
    if json:
        _print_json({"runs": [str(run) for run in runs], "images": images, **written})
    else:
        _say_submission(written)
    return 0


def _ids_of(path: Path | None, classes: tuple[str, ...], devkit: Path | None) -> Any:
    """The classes' numbers in a submission file. Asked before networks run: InputError if it cannot be written there."""
    from alexnet.evaluation import submission

    if path is None:
        return None
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(
            f"--submission {path}: no file can be written there; make the folder, or name a file in another"
        )
    return submission.ids_of(classes, devkit)


def _write_submission(
    path: Path | None, probabilities: Any, judged: Any, classes: tuple[str, ...], ids: Any
) -> dict[str, Any]:
    from alexnet.evaluation import submission

    if path is None:
        return {}
    submission.write(path, probabilities, judged.files, ids)
    listed = submission.write_classes(path, classes, ids)
    return {"submission": str(path), "lines": len(judged.files), "submission_classes": str(listed)}


def _say_submission(written: dict[str, Any]) -> None:
    if written:
        out_line(
            f"submission: {written['submission']}, {written['lines']:,} lines in the order of the images' names, read again"
            f" and checked; its class numbers: {written['submission_classes']}"
        )


def _evaluate_file(path: Path, data: Path, split: str, devkit: Path | None, json: bool) -> int:
    from alexnet.data import prepared as prepared_sets
    from alexnet.evaluation import submission

    opened = prepared_sets.open(data)
    part = opened.split(split)
    ids = submission.ids_of(opened.classes, devkit)
    order = submission.order_of(list(part.files))
    top1, top5 = submission.score(submission.read(path, len(order), ids), ids[part.labels[order]])
    if json:
        errors_ = {"top1_error": top1, "top5_error": top5, "images": len(order)}
        _print_json({"submission": str(path), "data": str(data), "split": part.name, **errors_})
    else:
        out_line(f"{path}: {len(order):,} lines, top-1 error {top1:.2f} %, top-5 {top5:.2f} % on {data} ({part.name})")
    return 0


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def predict(
    run: Positional[Path],
    images: Positional[tuple[str, ...]],
    views: int = 10,
    picture: Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "float32", "bf16"] | None = None,
    json: bool = False,
) -> int:
    """The five most probable labels of images: files, folders, globs, or - for a list of files on stdin.

    An image that cannot be read is one line on stderr, and an error in place of labels with --json; the others go on. The exit
    code is then 3, whether it was one image or all. 0: all were read; 2: bad input, such as no run; 1: it failed.

    Args:
        run: a run folder.
        images: files, folders, globs, or -.
        views: 1 (centre crop) or 10.
        picture: draw the images with their labels and bars into this file (.png or .svg), like fig. 4 of the paper.
        device: auto, cpu, cuda or mps.
        precision: what is computed in, where it is not to be the run's: auto is bf16 where the device multiplies it.
        json: print one JSON document on stdout.
    """
    import numpy as np

    from alexnet.device import pick
    from alexnet.insight import predictions as pictures
    from alexnet.run import trained
    from alexnet.run.predict import Prediction, find, predictions

    if not images:
        raise InputError(
            "predict needs at least one IMAGE: a file, a folder, a glob, or - for a list of files on stdin"
        )
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    network = trained.load(run, pick(device), precision)
    lines = sys.stdin.read().splitlines() if "-" in images else []
    documents: list[dict[str, Any]] = []
    shown: list[tuple[Prediction, np.ndarray]] = []
    good = 0
    for prediction in predictions(network, find(images, lines), views):
        documents.append(prediction.to_dict())
        if prediction.error is not None:
            err.print(f"alexnet predict: {prediction.image}: {prediction.error}", soft_wrap=True)
            continue
        good += 1
        if picture and prediction.pixels is not None and len(shown) < 16:
            shown.append((prediction, prediction.pixels))
        if not json:
            out.print(prediction.image, style="bold", soft_wrap=True)
            for line in pictures.text(prediction.top):
                out.print("  ", line, sep="", soft_wrap=True)
    if picture and shown:
        pixels = np.stack([image for _, image in shown])
        names = [Path(prediction.image).name for prediction, _ in shown]
        pictures.draw(pixels, [prediction.top for prediction, _ in shown], [None] * len(shown), picture, names=names)
        err.print(f"drawn: {picture}" + (" (the first 16)" if good > 16 else ""), soft_wrap=True)
    if not documents:
        raise InputError("-: no image is listed on stdin; give one path a line")
    if json:
        _print_json(documents)
    return 0 if good == len(documents) else SOME_UNREAD


SOME_UNREAD = 3
"""Exit code of a command that did what it was asked, but for images that could not be read, or all of them."""


def report(run: Positional[Path], data: Path | None = None, json: bool = False) -> int:
    """Write RUN/report.html again: recipe, curves, learned kernels, predictions and errors, one file that opens offline.

    Args:
        run: a run folder.
        data: a prepared dataset; by default the one it was trained on, if it is still there.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets

    path = data or _data_of(run)
    opened = prepared_sets.open(path) if data or (path / "manifest.json").is_file() else None
    if opened is None:
        err.print(f"no prepared dataset at {path}: the report will have no predictions", soft_wrap=True)
    page = _report(run, opened)
    if json:
        _print_json({"run": str(run), "report": str(page)})
    else:
        out.print(str(page), soft_wrap=True)
    return 0


def kernels(runs: Positional[tuple[Path, ...]], json: bool = False) -> int:
    """Draw the first layer's learned kernels by column, like fig. 3 of the paper; those of several runs side by side.

    Args:
        runs: a run folder or several, then the file to draw (.png or .svg; by default kernels.png).
        json: print one JSON document on stdout.
    """
    from alexnet.insight import kernels as pictures
    from alexnet.insight.picture import kind_of
    from alexnet.run import trained

    named = len(runs) > 1 and not runs[-1].is_dir()
    picture, folders = (runs[-1], runs[:-1]) if named else (Path("kernels.png"), runs)
    if not folders:
        raise InputError("RUN is missing: name a run folder, or several; alexnet train writes them")
    kind_of(picture)
    networks = [(trained.load(run).network, str(run) if len(folders) == 1 else run.name) for run in folders]
    if len(networks) == 1:
        pictures.draw(networks[0][0], picture, title=networks[0][1])
        return _drawn(folders[0], picture, json)
    pictures.draw_several(networks, picture)
    if json:
        _print_json({"runs": [str(run) for run in folders], "picture": str(picture)})
    else:
        out.print(str(picture), soft_wrap=True)
    return 0


def curves(run: Positional[Path], picture: Positional[Path] = Path("curves.png"), json: bool = False) -> int:
    """Draw a run's loss and its training and validation error over the epochs.

    Args:
        run: a run folder.
        picture: the file to draw (.png or .svg).
        json: print one JSON document on stdout.
    """
    from alexnet.insight import curves as pictures
    from alexnet.run import recipe
    from alexnet.run.metrics import read_metrics

    pictures.draw(read_metrics(run), picture, recipe.read(run).network.classes)
    return _drawn(run, picture, json)


def similar(
    run: Positional[Path],
    images: Positional[tuple[str, ...]] = (),
    data: Path | None = None,
    split: str = "train",
    sample: int = 5,
    count: int = 6,
    picture: Path = Path("similar.png"),
    keep: bool = True,
    device: str = "auto",
    json: bool = False,
) -> int:
    """The training images nearest to images by Euclidean distance in fc7, the last hidden activations: fig. 4, right.

    The search is exact. The features of a split are computed once and kept in RUN/features, a float32 file of its images x
    4096 numbers; stopped at any moment, the same command goes on. Exit code 3: images among those named could not be read.

    Args:
        run: a run folder.
        images: files, folders or globs; without any, validation images of different classes, drawn by the run's seed.
        data: a prepared dataset; by default the one it was trained on.
        split: which images are searched: train (without those held out to validate), val, test.
        sample: number of validation images, where no images are named.
        count: neighbours of each image.
        picture: the file to draw (.png, .svg or .pdf).
        keep: keep the features for the next time; else nothing is written but the picture.
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    import numpy as np

    from alexnet.insight import figures, neighbours
    from alexnet.insight.picture import kind_of, save, with_word
    from alexnet.run.predict import find, predictions

    kind_of(picture)
    network, opened = _run_with_data(run, data, device)
    names: list[str] = []
    classes: list[str | None] = []
    unread: list[dict[str, Any]] = []
    if images:
        pixels = []
        for one in predictions(network, find(images), views=1):
            if one.pixels is None:
                err.print(f"alexnet similar: {one.image}: {one.error}", soft_wrap=True)
                unread.append(one.to_dict())
                continue
            names.append(one.image)
            classes.append(None)
            pixels.append(one.pixels)
        if not pixels:
            if json:
                _print_json({"run": str(run), "data": str(opened.path), "picture": None, "images": unread})
            return SOME_UNREAD
        queries = np.stack(pixels)
    else:
        if sample < 1:
            raise InputError(f"--sample {sample}: there must be at least 1")
        part, chosen = figures.drawn(network.recipe, opened, sample)
        queries = part.images[chosen]
        names, classes = [part.files[k] for k in chosen], [part.classes[k] for k in part.labels[chosen]]
    searched = opened.split(split)
    with Bar("images", err) as bar:
        found = neighbours.similar(
            network, queries, opened, split, count, keep, lambda done, total: bar.update(searched.name, done, total)
        )
    of = f"of {found.searched:,} {'training images' if searched.name == 'train' else f'images of {searched.name}'}"
    shown = [one or Path(name).name for one, name in zip(classes, names, strict=True)]
    save(figures.similar(network, queries, shown, classes, found, searched, of), picture)
    near = found.listed(searched)
    if json:
        documents = [
            {"image": name, "class": own, "neighbours": rows}
            for name, own, rows in zip(names, classes, near, strict=True)
        ]
        where = {"run": str(run), "data": str(opened.path), "split": searched.name, "searched": found.searched}
        _print_json({**where, "picture": str(picture), "images": documents + unread})
        return SOME_UNREAD if unread else 0
    for name, rows in zip(names, near, strict=True):
        out.print(name, style="bold", soft_wrap=True)
        for row in rows:
            line = f"  {row['distance']:#9.4g}  {with_word(row['class'])}  {row['file']}"
            out.print(line, soft_wrap=True)
    out.print(f"drawn: {picture}", soft_wrap=True)
    return SOME_UNREAD if unread else 0


def activations(
    run: Positional[Path],
    image: Positional[Path],
    picture: Positional[Path] = Path("activations.png"),
    device: str = "auto",
    json: bool = False,
) -> int:
    """Draw the activations of every layer for one image, from what the network sees to its five labels.

    Args:
        run: a run folder.
        image: a file.
        picture: the file to draw (.png, .svg or .pdf).
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    from alexnet.device import pick
    from alexnet.insight import activations as pictures
    from alexnet.insight.picture import kind_of, save
    from alexnet.run import trained
    from alexnet.run.predict import predictions

    kind_of(picture)
    network = trained.load(run, pick(device))
    prediction = next(predictions(network, iter([str(image)]), views=1))
    if prediction.pixels is None:
        raise InputError(f"{image}: {prediction.error}")
    save(pictures.figure(network, prediction.pixels, image.name), picture)
    return _drawn(run, picture, json)


def units(
    run: Positional[Path],
    picture: Positional[Path] = Path("units.png"),
    data: Path | None = None,
    layer: str | None = None,
    units: tuple[int, ...] = (),
    count: int = 9,
    split: str = "val",
    device: str = "auto",
    json: bool = False,
) -> int:
    """Draw what excites units of a layer most: patches of images, each cut to the pixels that the unit reads.

    Args:
        run: a run folder.
        picture: the file to draw (.png, .svg or .pdf).
        data: a prepared dataset; by default the one it was trained on.
        layer: a layer by its name, as conv3 or fc7; by default the last convolution.
        units: numbers of units, from 0; by default those that answer strongest.
        count: images of each unit, at most one patch an image.
        split: which images: val (test where there is no val; the held-out share where there is neither), train, test.
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    import dataclasses

    from alexnet.insight import activations as layers
    from alexnet.insight import figures
    from alexnet.insight import units as pictures
    from alexnet.insight.picture import kind_of, save

    kind_of(picture)
    if count < 1:
        raise InputError(f"--count {count}: there must be at least 1")
    network, opened = _run_with_data(run, data, device)
    layer = pictures.known(network.network, layer or figures.last_convolution(network))
    pictures.check(network.network, layer, units)
    part, indices, where = _images_of(network, opened, split)
    name = layers.activated(network.network, layer)
    with Bar("images", err) as bar:
        batches = layers.in_batches(
            network, part.images, indices, {name}, lambda done, total: bar.update(where, done, total)
        )
        found = pictures.strongest((one[name] for one in batches), count)
    chosen = pictures.choose(found, pictures.columns_of(network.network, layer), units)
    of = f"{len(indices):,} images ({where})"
    save(pictures.figure(network, part.images, indices, layer, found, chosen, of), picture)
    if json:
        field = dataclasses.asdict(pictures.receptive_field(network.network, layer))
        document = {"run": str(run), "data": str(opened.path), "split": where, "images": len(indices), "layer": layer}
        rows = [{"unit": unit, "patches": found.listed(unit, indices, part)} for unit in chosen]
        _print_json({**document, "field": field, "picture": str(picture), "units": rows})
        return 0
    out.print(str(picture), soft_wrap=True)
    return 0


def figures(
    run: Positional[Path],
    data: Path | None = None,
    folder: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    format: Literal["png", "svg", "pdf"] = "png",
    keep: bool = True,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Draw all of the paper's figures for a run: kernels, five labels, nearest training images, activations, units.

    Args:
        run: a run folder.
        data: a prepared dataset; by default the one it was trained on.
        folder: where to; by default RUN/figures.
        format: png, svg or pdf.
        keep: keep the training images' features in the run folder, for `alexnet similar` and the next time.
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    from alexnet.insight import figures as pictures

    network, opened = _run_with_data(run, data, device)
    folder = folder or run / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with Bar("images", err) as bar:
        for name, figure in pictures.all_figures(network, opened, keep, bar.update):
            written.append(str(pictures.save(figure, folder, name, format)))
    if json:
        _print_json({"run": str(run), "pictures": written})
        return 0
    for path in written:
        out.print(path, soft_wrap=True)
    return 0


def _run_with_data(run: Path, data: Path | None, device: str) -> tuple[Any, Any]:
    """A run's network and a prepared dataset of its classes; InputError if there is none or it has others."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory, pick
    from alexnet.run import trained

    network = trained.load(run, pick(device))
    opened = prepared_sets.open(data or _data_of(run, there=True))
    if opened.classes != network.classes:
        raise InputError(
            f"{opened.path}: its classes are not the run's, or in another order ({len(opened.classes)} against"
            f" {len(network.classes)}); use data with the classes in {run / 'classes.json'}"
        )
    keep_memory()
    return network, opened


def _images_of(network: Any, opened: Any, split: str) -> tuple[Any, Any, str]:
    """A split, the indices of its images that are meant, and what they are called."""
    import numpy as np

    from alexnet.run.images import measured_on, validation_of

    if split == "val":
        part, indices = validation_of(network.recipe, opened)
        return part, indices, measured_on(part)
    part = opened.split(split)
    return part, np.arange(len(part.labels)), part.name


def _drawn(run: Path, picture: Path, json: bool) -> int:
    if json:
        _print_json({"run": str(run), "picture": str(picture)})
    else:
        out.print(str(picture), soft_wrap=True)
    return 0


# --- alexnet export ---------------------------------------------------------------------------------------------------


def export(
    run: Positional[Path],
    format: Positional[Literal["onnx", "openvino", "caffe", "torchvision"]],
    file: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    json: bool = False,
) -> int:
    """Write a run's network for onnxruntime or OpenVINO, or its weights for Caffe or torchvision, compared before kept.

    An .onnx or .xml takes float32 pixels [N, 3, S, S], RGB, 0-255, and gives probabilities and logits [N, classes]; the mean
    is subtracted inside, and the classes are among its properties. Needs the packages of alexnet[export]. The weights of
    caffe (.prototxt, .caffemodel, mean image) and torchvision (a state dict, mean image) need none; what their networks
    cannot compute is refused, and what they have to be given is said.

    Args:
        run: a run folder.
        format: onnx, openvino, caffe or torchvision.
        file: the file to write; by default network.onnx, .xml, .caffemodel or .pth in the run folder (network-int8...).
        int8: 8-bit weights and activations, calibrated on training images; the loss of accuracy is measured and stated.
        data: a prepared dataset to compare on, and for int8 to calibrate and measure on; by default the run's own.
        views: int8: measure the errors over 1 view or 10.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets
    from alexnet.export import write
    from alexnet.run import trained

    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    if format == "onnx" or format == "openvino":
        write.check_packages(format, int8)
    elif int8:
        raise InputError(f"--int8: {format} files have float32 weights; leave it out")
    network = trained.load(run)
    path = data or (_data_of(run, there=int8) if int8 or (run / "data.json").is_file() else None)
    opened = prepared_sets.open(path) if path and (data or (path / "manifest.json").is_file()) else None
    if opened and not data and not int8 and opened.classes != network.classes:
        opened = None  # prepared anew as something else since the run; noise will do to compare on
    with Bar("images", err) as bar:
        if format == "caffe" or format == "torchvision":
            from alexnet.export import weights

            made = weights.export(network, format, file, opened)
        else:
            made = write.export(network, format, file, opened, int8, views, progress=bar.update)
    if json:
        _print_json({"run": str(run), "checkpoint": network.checkpoint, "format": format, **made.to_dict()})
        return 0
    names = ", ".join(str(part) for part in made.files)
    if made.takes:
        out_line(f"takes {made.takes}")
    out.print(f"{names}: {made.bytes / 1e6:,.0f} MB{', int8' if int8 else ''}", soft_wrap=True)
    out.print(
        f"float32 against the run's own network on {made.compared}: probabilities differ by"
        f" {made.probability_difference:.1e} at most, logits by {made.logit_difference:.1e} of the largest",
        soft_wrap=True,
    )
    if made.before and made.after:
        five = len(network.classes) > 5
        table = Table(made.measured or "", "top-1 error %", *(["top-5 error %"] if five else []))
        for name, errors in (("float32", made.before), ("int8", made.after)):
            table.add_row(name, f"{errors.top1_error:.2f}", *([f"{errors.top5_error:.2f}"] if five else []))
        _wide(table)
    return 0


# --- alexnet import ---------------------------------------------------------------------------------------------------


def import_(
    files: Positional[tuple[Path, ...]],
    out_path: Annotated[Path, tyro.conf.arg(name="out")],
    kind: Literal["caffe", "torchvision", "onnx", "cuda-convnet"] | None = None,
    takes: Annotated[Literal["pixels", "unit", "torchvision", "caffe"] | None, tyro.conf.arg(name="input")] = None,
    mean: str | None = None,
    classes: Path | None = None,
    data: Path | None = None,
    input_size: int | None = None,
    image_size: int | None = None,
    name: str | None = None,
    json: bool = False,
) -> int:
    """Make a run folder from weights of others, or a network (.json) from a layer file of the 2012 program.

    Reads Caffe's .caffemodel, with its .prototxt or alone; torchvision's alexnet, .pth or .safetensors; ONNX graphs of
    AlexNet's kind; and layers-*.cfg, with its layer-params-*.cfg or alone. Nothing in a file is run. The network is
    compared with the file's own definition on the same images; beyond 10⁻⁴ nothing is written.

    Args:
        files: the file, and what belongs to it.
        out_path: the run folder to make; for a layer file, the .json file.
        kind: what the files are; by default told by their names, else by how they begin.
        takes: what the file's network is given. pixels: RGB 0-255 minus the mean; unit: RGB 0-1; torchvision: RGB 0-1 minus
            its mean, divided by its deviations; caffe: BGR 0-255 minus the mean. By default what its kind takes.
        mean: the mean on 0-255, colours in the file's order: .binaryproto, .npy of [3, S, S], or three values, as 104,117,123.
        classes: a file with the names of the classes, one a line (synset_words.txt), or a JSON list.
        data: a prepared dataset with these classes, in this order; evaluate and others take it by default.
        input_size: side of the network's input, where the file leaves it open.
        image_size: side of the images that crops are taken from; by default the mean image's, else 256.
        name: what summaries and reports call the network.
        json: print one JSON document on stdout.
    """
    import dataclasses

    from alexnet.imports import read as reading

    if not files:
        raise InputError("import needs a FILE: .caffemodel, .pth, .safetensors, .onnx or layers-*.cfg")
    chosen = kind or reading.kind_of(files[0])
    if chosen == "cuda-convnet":
        return _import_layers(files, out_path, input_size, json)
    from alexnet.data import prepared as prepared_sets
    from alexnet.imports import classes as naming
    from alexnet.imports import run as runs

    runs.check_out(out_path)
    opened = prepared_sets.open(data) if data else None
    read = reading.read(files, chosen, reading.Options(mean, takes, input_size, image_size, name))
    number = read.imported.network.classes
    if classes:
        names = naming.read(classes, number)
    elif opened:
        names = naming.checked(list(opened.classes), number, f"--data {data}")
    else:
        names = naming.checked(read.classes, number, str(files[0])) if read.classes else naming.unnamed(number)
    if opened and opened.classes != tuple(names):
        raise InputError(f"--data {data}: its classes are not those of --classes {classes}, or in another order")
    network = runs.module(read.imported)
    compared = runs.compare(network, read.imported, read.theirs, read.by)
    runs.write(read.imported, network, out_path, names, str(files[0]), opened)
    unnamed = not (classes or opened or read.classes)
    notes = [*read.imported.notes, *(["the classes have no names; --classes FILE gives them"] if unnamed else [])]
    if json:
        document = {"run": str(out_path), "kind": chosen, "network": read.imported.network.name, "classes": number}
        _print_json({**document, "notes": notes, **dataclasses.asdict(compared)})
        return 0
    for note in notes:
        out_line(note)
    out_line(
        f"against {compared.by}, {runs.COMPARED} images of noise: probabilities differ by {compared.probability_difference:.1e}"
        f" at most, logits by {compared.logit_difference:.1e} of the largest"
    )
    out_line(f"run folder {out_path}")
    return 0


def _import_layers(files: tuple[Path, ...], file: Path, input_size: int | None, json: bool) -> int:
    from alexnet.files import write_text
    from alexnet.imports import cuda_convnet
    from alexnet.network import named
    from alexnet.network import summary as summaries

    if len(files) > 2:
        raise InputError(f"{files[2]}: give a layer file, and at most its parameter file")
    if file.suffix != ".json":
        raise InputError(f"--out {file}: a layer file has no weights and becomes a network, whose name ends in .json")
    made = cuda_convnet.read(files[0], files[1] if len(files) == 2 else None, input_size)
    nearest, differ = named.nearest(made.network, initial=True)
    summaries.summarize(made.network)  # whether it can be built
    write_text(file, named.to_json(made.network))
    if json:
        said = {"nearest": nearest.name, "differences": differ, "notes": list(made.notes)}
        _print_json({"network": str(file), **said})
        return 0
    for note in made.notes:
        out_line(note)
    if differ:
        out_line(f"nearest named network: {nearest.name}. It differs in")
        for line in differ:
            out_line(f"  {line}")
    else:
        out_line(f"equals the named network {nearest.name}, initial values too")
    return summary([str(file)])


# --- alexnet doctor ---------------------------------------------------------------------------------------------------


def doctor(path: Positional[Path], json: bool = False) -> int:
    """Check a folder of images, a prepared dataset or a run for what people trip over; each finding with its fix.

    Args:
        path: the folder.
        json: print one JSON document on stdout.
    """
    import dataclasses

    from alexnet.doctor import examine

    findings = examine(path)
    errors = sum(finding.level == "error" for finding in findings)
    if json:
        _print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
        for finding in findings:
            mark, colour = marks[finding.level]
            out.print(mark, style=colour, end=" ")
            out.print(finding.what, soft_wrap=True)
            if finding.fix:
                out.print(f"  → {finding.fix}", soft_wrap=True)
        warnings = sum(finding.level == "warning" for finding in findings)
        out.print(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    return 2 if errors else 0


# --- alexnet claims ---------------------------------------------------------------------------------------------------


def claims(args: list[str]) -> int:
    """Every claim of the paper as an experiment: `claims_list`, or one of the actions."""
    actions: dict[str, Callable[..., int]] = {"run": claims_run, "show": claims_show, "page": claims_page}
    if args and args[0] in actions:
        return _typed(f"claims {args[0]}", actions[args[0]])(args[1:])
    if args and not args[0].startswith("-"):
        raise InputError(f"{args[0]}: no such action; there are {', '.join(actions)}, or none for the ledger")
    return _typed("claims", claims_list)(args)


def _experiment(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, int]:
    """What `work` returns, with a bar of its runs, and 0; nothing and the exit code if it was told to stop."""
    from alexnet.claims import runner

    with _signals() as caught, Bar("runs", err) as bar:
        try:
            return work(*arguments, **options, progress=bar.claims, stop=lambda: bool(caught)), 0
        except runner.Stopped:
            err.print("stopped; the same command goes on where it was")
            return None, 128 + (caught[0] if caught else signal.SIGINT)


def claims_run(
    ids: Positional[tuple[str, ...]] = (),
    all: bool = False,
    scale: Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"] = "smoke",
    data: Path | None = None,
    out: Path = Path("runs/claims"),
    results: Path | None = None,
    seeds: int | None = None,
    jobs: int = 1,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    note: str = "",
    plan: bool = False,
    json: bool = False,
) -> int:
    """Run the experiments of claims; stopped at any moment, the same command goes on where it was.

    Args:
        ids: the claims, as `alexnet claims` lists them.
        all: every claim that has an experiment at this scale.
        scale: how large: smoke runs on the built-in photographs in a minute or two and says nothing about the claims.
        data: the prepared dataset that the scale asks for; `smoke` makes its own, `--plan` can do without.
        out: where the run folders go.
        results: where the result files go; by default OUT/results.
        seeds: how many, from 0; by default the scale's, 3. Verdicts need 3.
        jobs: runs at a time, each with its share of the threads. On few cores two are faster than one.
        precision: of the runs, where it is not to be the recipe's.
        note: what to say of the data in the results, such as "JPEG copy".
        plan: print the runs and what they cost, and start none.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger, runner
    from alexnet.claims import plan as planning
    from alexnet.claims.claims import claims as there
    from alexnet.claims.scales import scales
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory

    keep_memory()
    if bool(ids) == all:
        raise InputError(f"name the claims to run, or --all; at scale {scale} there are {', '.join(ledger.ids(scale))}")
    chosen = [_named(there, name, "ID", "claim") for name in (ledger.ids(scale) if all else dict.fromkeys(ids))]
    at = ledger.with_precision(scales[scale], precision)
    for claim in chosen:
        runner.base_of(claim, at)  # before anything is prepared or asked for
    number = at.seeds if seeds is None else seeds
    if number < 1 or jobs < 1:
        raise InputError(f"--seeds {number} --jobs {jobs}: both must be at least 1")
    if data is None and scale == "smoke" and (out / "builtin" / "manifest.json").is_file():
        data = out / "builtin"
    if plan:
        planned = planning.plan(chosen, at, prepared_sets.open(data) if data else None, out, range(number))
        if json:
            _print_json(planned.to_dict())
        else:
            for line in planned.lines():
                out_line(line)
        return 0
    if data is None and scale == "smoke":
        data = ledger.smoke_data(out / "builtin")
    if data is None:
        raise InputError(f"--data DIR is missing: scale {scale} takes {at.data}")
    opened = prepared_sets.open(data)
    said = f"--scale {scale}" + ("" if scale == "smoke" else f" --data {data.name}")
    said += f" --precision {precision}" if precision else ""
    said += f" --seeds {seeds}" if seeds is not None else ""
    made, code = _experiment(
        runner.run,
        chosen,
        at,
        opened,
        out,
        results or out / "results",
        range(number),
        jobs,
        options=said,
        note=note,
    )
    if code:
        return code
    if json:
        _print_json([ledger.to_dict(result) for result in made])
    else:
        for result in made:
            for line in ledger.lines(result):
                out_line(line)
    return 0


def table2(
    data: Path | None = None,
    pretrain_data: Path | None = None,
    scale: Literal["smoke", "reduced", "imagenette", "imagenet"] = "smoke",
    out: Path = Path("runs/table2"),
    results: Path | None = None,
    repeats: int = 3,
    jobs: int = 1,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    note: str = "",
    plan: bool = False,
    markdown: bool = False,
    json: bool = False,
) -> int:
    """Table 2 as one chain (§6): one network, five averaged, one pre-trained and fine-tuned, seven averaged; ten crops.

    A repeat is five networks from nothing, and two with a sixth convolution that are pre-trained on other images; without other
    images there are the first two rows alone, and a later call with them adds the rest. Stopped at any moment, the same command
    goes on where it was. The result is one of the claims': alexnet claims show "five nets".

    Args:
        data: a prepared dataset, which all networks are measured on; `smoke` makes its own.
        pretrain_data: a prepared dataset of other images (the paper: ImageNet Fall 2011; at a small scale, classes that --data does
            not have), for pre-training; without it CNN* is not run. `smoke` makes its own.
        scale: how large: smoke runs in a minute on photographs that come with the dependencies, and says nothing.
        out: where the run folders go.
        results: where the result file goes; by default OUT/results.
        repeats: how many, each of nine training runs, or five without other images. Verdicts need 3.
        jobs: runs at a time, each with its share of the threads. On few cores two are faster than one.
        epochs: of training from nothing, and of fine-tuning (at scale imagenet 54/90 of it); by default the scale's.
        pretrain_epochs: of pre-training; by default as many.
        precision: of the runs, where it is not to be the recipe's.
        note: what to say of the data in the result, such as "five of ten classes".
        plan: print the runs and what they cost, and start none.
        markdown: print the tables as Markdown.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger
    from alexnet.claims import table2 as chain
    from alexnet.claims.scales import scales
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory

    keep_memory()
    at = ledger.with_precision(scales[scale], precision)
    for name, value in (("repeats", repeats), ("jobs", jobs), ("epochs", epochs), ("pretrain-epochs", pretrain_epochs)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: must be at least 1")
    given = f"--scale {scale}"
    for name, path in (("data", data), ("pretrain-data", pretrain_data)):
        given += f" --{name} {path.name}" if path else ""
    for name, option in (("epochs", epochs), ("pretrain-epochs", pretrain_epochs), ("precision", precision)):
        given += f" --{name} {option}" if option is not None else ""
    given += f" --repeats {repeats}" if repeats != 3 else ""
    if plan:
        here, other = (prepared_sets.open(path) if path else None for path in (data, pretrain_data))
        planned = chain.plan(at, here, other, out, repeats, epochs, pretrain_epochs)
        if json:
            _print_json(planned.to_dict())
        else:
            for line in planned.lines():
                out_line(line)
        return 0
    if scale == "smoke" and not data and not pretrain_data:
        data, pretrain_data = chain.smoke_data(out)
    if data is None:
        raise InputError(f"--data DIR is missing: what the networks are measured on; scale {scale} takes {at.data}")
    if pretrain_data is None and pretrain_epochs is not None:
        raise InputError(
            f"--pretrain-epochs {pretrain_epochs}: there is nothing to pre-train on; name it with --pretrain-data DIR, or leave"
            " the option out"
        )
    opened, before = chain.open_both(data, pretrain_data)
    made, code = _experiment(
        chain.run,
        at,
        opened,
        before,
        out,
        results or out / "results",
        repeats,
        jobs,
        epochs,
        pretrain_epochs,
        options=given,
        note=note,
    )
    if code:
        return code
    if json:
        _print_json(chain.to_dict(made))
    elif markdown:
        for line in chain.markdown(made).splitlines():
            out_line(line)
    else:
        for block in chain.tables(made):
            out_line(block.title)
            _print_rows(block)
    return 0


def claims_list(results: Path | None = None, json: bool = False) -> int:
    """The ledger: every claim, what the paper says, what the 2012 log says, and what was measured, with its verdict.

    alexnet claims show ID: every figure of a claim. alexnet claims run ID ...: run its experiment. alexnet claims page:
    docs/claims.md, from the result files. Each has its own --help.

    Args:
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger
    from alexnet.claims.claims import claims as there
    from alexnet.claims.results import PUBLISHED

    found = ledger.found(results or PUBLISHED)
    if json:
        _print_json(ledger.rows(found))
        return 0
    table = Table("claim", show_lines=True, expand=True)
    table.add_column("what it says", ratio=2)
    table.add_column("measured: difference (95% interval over seeds)", ratio=3)
    for claim in there.values():
        says = [escape(claim.says)]
        says += [f"[dim]paper:[/dim] {escape(claim.paper)}"] if claim.paper else []
        says += [f"[dim]2012 log:[/dim] {escape(claim.logged)}"] if claim.logged else []
        lines = [f"[dim]{ledger.state(claim, found[claim.id])}[/dim]"] if ledger.state(claim, found[claim.id]) else []
        for scale, result in found[claim.id].items():
            outcomes = ledger.outcomes(result)
            lines += [f"[bold]{escape(visible(scale))}[/bold], {ledger.seeds(outcomes)}"] if outcomes else []
            lines += [
                f"{escape(visible(ledger.label(one.comparison, claim)))} {ledger.measured(one)}"
                f" [{_VERDICTS[one.verdict]}]{one.verdict.removesuffix(' at this scale')}[/]"
                for one in outcomes
            ]
        first = [escape(claim.id), f"[dim]{claim.section}[/dim]"]
        table.add_row(*(Text.from_markup("\n".join(cell), emoji=False) for cell in (first, says, lines)))
    _at_most_100(table)
    out_line("alexnet claims show ID: every figure of a claim. alexnet claims run ID: its experiment.")
    return 0


_VERDICTS = {
    "reproduced": "green",
    "not reproduced": "red",
    "inconclusive at this scale": "yellow",
    "lower": "cyan",
    "higher": "cyan",
}


def claims_show(
    id: Positional[str],
    scale: Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"] | None = None,
    results: Path | None = None,
    json: bool = False,
) -> int:
    """Every figure of a claim: what its recipes differ in, every seed's values, each comparison with interval and verdict.

    Args:
        id: the claim, as `alexnet claims` lists it.
        scale: one scale; by default every one that has a result.
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger
    from alexnet.claims.claims import claims as there
    from alexnet.claims.results import PUBLISHED

    claim = _named(there, id, "ID", "claim")
    found = ledger.found(results or PUBLISHED)[id]
    if scale and scale not in found:
        make = f"alexnet {claim.result or f'claims run {id}'} --scale {scale} makes one"
        fix = (
            make
            if (claim.variants or claim.result) and scale in claim.scales
            else "the claim has no experiment at that scale"
        )
        raise InputError(f"--scale {scale}: no result of claim {id} under {results or 'the published ones'}; {fix}")
    chosen = [result for name, result in found.items() if scale in (None, name)]
    if json:
        _print_json([ledger.to_dict(result) for result in chosen])
        return 0
    out_line(f"{claim.id} ({claim.section}): {claim.says}")
    for name, said in (("the paper", claim.paper), ("the 2012 log", claim.logged), ("note", claim.note)):
        if said:
            out_line(f"{name}: {said}")
    if not chosen:
        out_line(ledger.state(claim, {}))
    for result in chosen:
        out.print()
        out.print(f"scale {result.scale}", style="bold")
        for block in ledger.show(result):
            if isinstance(block, str):
                out_line(block)
                continue
            out_line(block.title)
            _print_rows(block)
    return 0


def _print_rows(of: Any) -> None:
    """A `ledger.Table`."""
    table = Table(*of.headings, show_header=any(of.headings))
    for row in of.rows:
        table.add_row(*row)
    _at_most_100(table)


def claims_page(out: Path = Path("docs/claims.md"), results: Path | None = None, json: bool = False) -> int:
    """Write the page of all claims with results, its figures into a folder beside it of the same name.

    Args:
        out: the page, a .md file.
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger, page
    from alexnet.claims.results import PUBLISHED

    pictures = page.write(ledger.found(results or PUBLISHED), out)
    if json:
        _print_json({"page": str(out), "pictures": [str(picture) for picture in pictures]})
    else:
        for path in (out, *pictures):
            out_line(str(path))
    return 0


def _at_most_100(table: Table) -> None:
    """Print a table in the width of the terminal, and in 100 columns where there is none."""
    out.table(table, None if out.is_terminal else 100)


def out_line(line: str) -> None:
    """A line on stdout as it stands."""
    out.print(line, soft_wrap=True)


# --- alexnet gpu ------------------------------------------------------------------------------------------------------


def gpu(
    pieces: Positional[tuple[str, ...]] = (),
    data: Path | None = None,
    cifar: Path | None = None,
    out: Path = Path("runs/gpu"),
    minutes: float = 8.0,
    jobs: int | None = None,
    note: str = "",
    cifar_note: str = "",
    again: bool = False,
    table: bool = False,
    rehearse: bool = False,
    unchecked: bool = False,
    json: bool = False,
) -> int:
    """All that needs a GPU, as far as the minutes reach: kernels checked, speed measured, networks trained; then a short table.

    Pieces, in their order: check, ceilings, kernels, steps, profile, epoch, networks, averaged, longer, claims, cifar. What is done
    is kept in small files under OUT, and the same command goes on where it was, on another machine too (docs/gpu.md).

    Args:
        pieces: some of the pieces; by default all that are not done.
        data: Imagenette, prepared at 256 pixels, for networks, averaged, longer and claims; without it they are left out.
        cifar: CIFAR-10, prepared at 32 pixels, for cifar; without it that is left out.
        out: where everything goes; for --rehearse by default runs/gpu-rehearsal.
        minutes: after so many nothing new is begun, and what is under way writes a checkpoint and ends.
        jobs: training runs at a time, which share the GPU; by default 3, or fewer on fewer than 12 cores.
        note: what to say of --data in the results, such as "a JPEG copy".
        cifar_note: the same of --cifar.
        again: measure the named pieces again, though they are there.
        table: only print the table of what OUT has; needs no GPU.
        rehearse: every piece on the CPU, on the built-in photographs: whether it runs. Gives no figures.
        unchecked: go on though the check fails, once somebody has read why; everything that is done then says so.
        json: print one JSON document on stdout.
    """
    from alexnet.gpu import run
    from alexnet.gpu import table as tables

    if table:
        lines = tables.lines(out)
        if json:
            _print_json({"out": str(out), "table": lines})
        else:
            for line in lines:
                out_line(line)
        return 0
    if rehearse and out == Path("runs/gpu"):
        out = Path("runs/gpu-rehearsal")
    begun = time.monotonic()

    def say(line: str) -> None:
        err.print(f"{time.monotonic() - begun:5.0f} s  {line}", soft_wrap=True)

    with _signals() as caught:
        done = run.run(
            pieces,
            run.Set(data, note) if data else None,
            run.Set(cifar, cifar_note) if cifar else None,
            out,
            minutes,
            jobs,
            say,
            lambda: bool(caught),
            again,
            rehearse,
            unchecked,
        )
    if json:
        _print_json(done.to_dict())
    else:
        for line in done.table:
            out_line(line)
    if caught:
        return 128 + caught[0]
    return 1 if done.failed else 0


# --- the door ---------------------------------------------------------------------------------------------------------


def _parser(name: str, usage: str, command: Callable[..., int], add_help: bool = True) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"alexnet {name}",
        usage=f"alexnet {name} {usage}",
        description=command.__doc__,
        add_help=add_help,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _first(args: list[str], names: Iterable[str]) -> str | None:
    """The name that a command is for, among options that only tyro knows: the first argument, or one of `names` later on
    that cannot be the value of the option before it."""
    if args and not args[0].startswith("-"):
        return args[0]
    return next((arg for at, arg in enumerate(args) if arg in names and not args[at - 1].startswith("--")), None)


def _named(there: dict[str, Any], name: str, what: str, kind: str) -> Any:
    if name not in there:
        raise InputError(f"{what} {name}: no {kind} of that name; there are {', '.join(there)}")
    return there[name]


def _typed(name: str, function: Callable[..., int]) -> Callable[[list[str]], int]:
    return lambda args: tyro.cli(function, args=args, prog=f"alexnet {name}", config=(FlagCreatePairsOff,))


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "summary": (summary, "sizes, parameters and multiply-adds of a network"),
    "prepare": (_typed("prepare", prepare), "a folder, archives or arrays of images → a prepared dataset"),
    "data": (_typed("data", data), "describe and check a prepared dataset"),
    "pack": (_typed("pack", pack), "a prepared dataset → pieces that travel"),
    "unpack": (_typed("unpack", unpack), "such pieces → the prepared dataset"),
    "train": (train, "a recipe and a prepared dataset → a run"),
    "evaluate": (_typed("evaluate", evaluate), "top-1 and top-5 error of a run, or of several averaged"),
    "predict": (_typed("predict", predict), "five labels for an image"),
    "export": (_typed("export", export), "a run's network for onnxruntime, OpenVINO, Caffe or torchvision"),
    "import": (
        _typed("import", import_),
        "weights of Caffe, torchvision or ONNX → a run; a layer file of 2012 → a network",
    ),
    "report": (_typed("report", report), "a run as one HTML page"),
    "kernels": (_typed("kernels", kernels), "runs' first-layer kernels, drawn by column"),
    "curves": (_typed("curves", curves), "a run's loss and errors over the epochs, drawn"),
    "similar": (_typed("similar", similar), "the training images nearest to an image, as the network sees it"),
    "activations": (_typed("activations", activations), "what every layer makes of one image, drawn"),
    "units": (_typed("units", units), "what excites a layer's units most, drawn"),
    "figures": (_typed("figures", figures), "all of the paper's figures, for a run"),
    "claims": (claims, "every claim of the paper, as an experiment, and what it gave"),
    "table2": (_typed("table2", table2), "Table 2 as one chain: networks averaged, and pre-trained"),
    "gpu": (_typed("gpu", gpu), "all that needs a GPU, in the half hour that one is there"),
    "doctor": (_typed("doctor", doctor), "what is wrong with this folder, and the fix"),
}


OUT_OF_MEMORY = "out of memory; end other processes, or give this one more (ulimit -v, the limit of a container)"


def main(args: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = sys.argv[1:] if args is None else args
    command = args[0] if args else "--help"
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text that a terminal can show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(args)
        with named(STDOUT):
            sys.stdout.flush()  # what cannot be written is said now, and not by Python at the end
        return code
    except InputError as error:
        if _first_process():  # all find the same
            err.print(f"alexnet {command}: {error}", soft_wrap=True)
        return 2
    except RunFailed as error:
        if str(error):  # else another process speaks of it
            err.print(f"alexnet {command}: {error}", soft_wrap=True)
        return error.code
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            err.print(f"alexnet {command}: {OUT_OF_MEMORY}", soft_wrap=True)
            return 1
        if "RANK" not in os.environ or not any(name in str(error) for name in ("gloo", "Gloo", "NCCL")):
            raise
        # What collectives raise when another process has gone: this one ends too, and torchrun starts all again.
        err.print(f"alexnet {command}: process {os.environ['RANK']} has lost the others")
        return 75
    except KeyboardInterrupt:
        resumes = command in ("prepare", "unpack", "similar", "figures")
        go_on = "; the same command goes on where it was" if resumes else ""
        err.print(f"alexnet {command}: interrupted{go_on}")
        return 130
    except BrokenPipeError:
        _leave_stdout()  # whoever read us (head, less) has left
        return 0
    except OSError as error:
        # What the machine refuses: a folder that may not be written, a disk that is full or gone.
        if error.filename == STDOUT:
            _leave_stdout()
        out_of = out_of_memory(error)
        err.print(f"alexnet {command}: {OUT_OF_MEMORY if out_of else refused(error)}", soft_wrap=True)
        return 1 if out_of or no_room(error) else 2


def _leave_stdout() -> None:
    """Nothing more can be said there, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        out.print("alexnet COMMAND ... — ImageNet classification with deep convolutional neural networks, 2012")
        out.print()
        for name, (_, line) in COMMANDS.items():
            out.print(f"  {name:11} {line}")
        out.print()
        out.print("alexnet COMMAND --help says the rest.")
        return 0 if args else 2
    if args[0] == "--version":
        from importlib.metadata import version

        out.print(f"alexnet {version('alexnet')}")
        return 0
    if args[0] not in COMMANDS:
        err.print(f"alexnet: no command {args[0]!r}; the commands are {', '.join(COMMANDS)}")
        return 2
    for arg in args:
        if arg.startswith("--") and visible(name := arg.partition("=")[0]) != name:
            raise InputError(f"{arg}: no option; if it is a file, name it ./{arg}")
    return COMMANDS[args[0]][0](args[1:])


def _first_process() -> bool:
    """Whether this is the first process of its machine, or the only one."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main())
