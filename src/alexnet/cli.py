"""The commands. No logic of their own: the only place that prints, exits and turns errors into exit codes.

0: done. 2: bad input, one line on stderr that names it and the fix. 1: a run that failed. 128 + signal: stopped by one.
With `--json` a command prints one JSON document on stdout; everything else always goes to stderr.
"""

import argparse
import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional

from alexnet.errors import InputError, RunFailed
from alexnet.progress import Bar


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with 1; `main` knows what it means that a reader has left


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


# --- alexnet summary --------------------------------------------------------------------------------------------------


def summary(args: list[str]) -> int:
    """Sizes, parameters, neurons and multiply-adds of a network, beside the paper's figures."""
    from alexnet.network import summary as summaries
    from alexnet.network.spec import Network, networks

    usage = (
        "NETWORK [--json] [--classes N] [--normalization none] ...\n\n"
        f"Networks: {', '.join(networks)}. `alexnet summary NETWORK --help` lists every field that can be set."
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
    spec = _named(networks, name or "paper", "NETWORK", "network")
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
    _Console(width=Console(width=1000).measure(table).maximum, highlight=False).print(table)


# --- alexnet prepare, alexnet data ------------------------------------------------------------------------------------


def prepare(
    source: Positional[str],
    dest: Positional[Path],
    size: int | None = None,
    max_bad: float = 0.01,
    workers: int | None = None,
    store: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    json: bool = False,
) -> int:
    """Turn a source of labelled images into a prepared dataset: shorter side to 256, central crop, RGB (§2).

    Killed at any moment, the same command goes on where it was; on a finished dataset it does nothing.

    Args:
        source: a folder of class folders; a folder with the ILSVRC-2012 archives; hf:NAME or .parquet files; an .npz
            of arrays; or "builtin", photographs that come with the dependencies.
        dest: folder of the prepared dataset.
        size: side of the prepared images in pixels; by default 256 (64 for the built-in set).
        max_bad: share of unreadable images above which the command fails.
        workers: threads that decode; by default one a core.
        store: raw keeps the pixels, fastest to read; jpeg keeps JPEGs, in about a sixth of the space.
        quality: of those JPEGs, 1 to 100.
        json: print one JSON document on stdout.
    """
    from alexnet.data.prepare import prepare as prepare_images
    from alexnet.data.sources import open_source
    from alexnet.training.device import keep_memory

    keep_memory()
    opened = open_source(source)
    err.print(f"{opened.description} → {dest}", markup=False, soft_wrap=True)
    if (dest / "manifest.json").is_file():
        err.print("already prepared; checking that it is this source")
    with Bar("images", err) as bar:
        done = prepare_images(
            opened,
            dest,
            size=size,
            max_bad=max_bad,
            workers=workers,
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
    if json:
        document = {"path": str(dest), "size": done.size, "classes": list(done.classes)}
        totals = {"images": sum(part["images"] for part in splits.values()), "skipped": all_skipped}
        _print_json({**document, **totals, "splits": splits, **splits})
        return 0
    for name, part in splits.items():
        out.print(f"{name}: {part['images']:,} images of {len(done.classes)} classes, {len(part['skipped'])} skipped")
    for item in all_skipped[:10]:
        out.print(f"skipped {item['file']}: {item['reason']}", markup=False, soft_wrap=True)
    if len(all_skipped) > 10:
        out.print(f"... and {len(all_skipped) - 10} more, all in {dest / 'manifest.json'}", markup=False)
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
            err.print(f"no contact sheet ({error}); name a place for it with --sheet", markup=False, soft_wrap=True)
            picture = None
    if json:
        _print_json({**opened.describe(), "problems": problems, "sheet": picture and str(picture)})
    else:
        facts = opened.describe()
        out.print(
            f"{facts['source']}, prepared at {facts['size']}×{facts['size']}"
            f"{', JPEGs of quality ' + str(facts['quality']) if facts['quality'] else ''}, {facts['bytes'] / 1e6:,.0f} MB",
            markup=False,
        )
        table = Table("class", *facts["splits"])
        for column in table.columns[1:]:
            column.justify = "right"
        for name in facts["classes"][:100]:
            table.add_row(escape(name), *(f"{part['per_class'][name]:,}" for part in facts["splits"].values()))
        table.add_section()
        table.add_row("all", *(f"{part['images']:,}" for part in facts["splits"].values()), style="bold")
        table.add_row("skipped", *(f"{len(part['skipped']):,}" for part in facts["splits"].values()))
        out.print(table)
        if len(facts["classes"]) > 100:
            out.print(f"the first 100 of {len(facts['classes'])} classes")
        rgb, roots = (", ".join(f"{value:.2f}" for value in facts[key]) for key in ("mean_colour", "eigenvalue_roots"))
        out.print(f"mean colour (RGB, 0-255): {rgb}")
        out.print(f"standard deviation along the principal components of RGB: {roots}")
        if not problems:
            out.print("whole: sizes, labels and checksums are right")
        if picture:
            out.print(f"contact sheet: {picture}", markup=False, soft_wrap=True)
    for problem in problems:
        err.print(f"alexnet data: {problem}", markup=False, soft_wrap=True)
    return 2 if problems else 0


# --- alexnet train ----------------------------------------------------------------------------------------------------


def train(args: list[str]) -> int:
    """Train a recipe into a run folder, go on with a run, or fine-tune one on other images."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.network.spec import networks
    from alexnet.training import checkpoint, recipe, trainer

    usage = (
        "RECIPE --data DIR [--out RUN] [--epochs N] [--seed S] [--network.normalization none] ...\n"
        "       alexnet train --resume RUN\n"
        "       alexnet train --from RUN --data DIR [--out RUN]\n\n"
        f"Recipes: {', '.join(recipe.recipes)}. `alexnet train RECIPE --help` lists every field that can be set."
    )
    parser = _parser("train", usage, train, add_help=False)
    parser.add_argument("--data", type=Path, help="a prepared dataset (alexnet prepare)")
    parser.add_argument("--out", type=Path, help="the run folder to make; by default runs/RECIPE-SEED")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run")
    parser.add_argument(
        "--from", dest="start", type=Path, metavar="RUN", help="start from this run's weights, new last layer"
    )
    parser.add_argument("--network", choices=list(networks), help="the recipe with another named network")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    known, rest = parser.parse_known_args(args)
    name = _first(rest, recipe.recipes)
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
        if known.start and name is not None:
            raise InputError(
                f"--from {known.start} takes that run's recipe, not {name} too; set fields instead: --rate ..."
            )
        if known.start:
            start = recipe.read(known.start)
            weights = checkpoint.weights(checkpoint.newest(known.start))
            chosen = recipe.fine_tuned(start, start.network.classes)
        elif name is None:
            raise InputError(
                f"the first argument must be a RECIPE ({', '.join(recipe.recipes)}), --resume RUN or --from RUN;"
                " see alexnet train --help"
            )
        else:
            chosen = _named(recipe.recipes, name, "RECIPE", "recipe")
        if name is not None:
            rest.remove(name)
        if known.network:
            chosen = replace(chosen, network=replace(networks[known.network], classes=chosen.network.classes))
        chosen = tyro.cli(recipe.Recipe, default=chosen, args=rest, prog=f"alexnet train {name or ''}".rstrip())
        chosen.check()
        if known.data is None:
            raise InputError(
                "--data DIR is missing: the folder of a prepared dataset (alexnet prepare SOURCE DIR makes one)"
            )
        data_path, folder = known.data, known.out or Path("runs") / f"{chosen.name}-{chosen.seed}"
    opened = prepared_sets.open(data_path)

    with _signals() as caught, Bar("training", err) as bar:
        outcome = trainer.train(
            chosen,
            opened,
            folder,
            resume=bool(known.resume),
            start_from=weights,
            progress=bar.training,
            stop=lambda: bool(caught),
            started=lambda now: _say_start(now, folder),
        )
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
        out.print(f"run folder {folder}, report {page}", markup=False, soft_wrap=True)
    if caught and not outcome.finished:
        err.print(f"stopped; go on with: alexnet train --resume {folder}", markup=False, soft_wrap=True)
        return 128 + caught[0]
    return 0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT are put into, instead of ending the process; a second one ends it at once."""
    caught: list[int] = []

    def catch(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # what is on disk by then is whole
        caught.append(number)

    before = {number: signal.signal(number, catch) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


FEW_UPDATES = 300
"""Below this a network that starts from nothing has hardly begun to learn; the warning says so."""


def _say_start(now: Any, folder: Path) -> None:
    threads = f" ({now.threads} threads)" if now.device == "cpu" else ""
    err.print(
        f"network {now.network}, {now.classes} classes, on {now.device}{threads}: {now.images:,} training images,"
        f" {now.steps:,} updates an epoch, {now.validation_images:,} images ({now.validation}) to validate; run folder {folder}",
        markup=False,
        soft_wrap=True,
    )
    if 0 < now.updates < FEW_UPDATES:
        err.print(
            f"only {now.updates} updates of the weights in all, too few to learn much from nothing: use a smaller --batch or more"
            " --epochs; with few images train demo, a small network, or start --from a trained run",
            markup=False,
            soft_wrap=True,
        )


def _data_of(run: Path, there: bool = False) -> Path:
    """The prepared dataset that a run was trained on; InputError if that is not known, or has to be `there` and is not."""
    try:
        path = Path(json.loads((run / "data.json").read_text())["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{run}: no readable data.json in it, so it is no run folder, or a damaged one; say --data DIR"
        ) from None
    if there and not path.is_dir():
        raise InputError(f"{path}: the data of {run} is not there any more; say --data DIR if it was moved")
    return path


def _report(run: Path, opened: Any) -> Path:
    from alexnet.insight import report as reports

    return reports.write(run, opened)


# --- alexnet evaluate, predict, report --------------------------------------------------------------------------------


def evaluate(
    run: Positional[Path],
    data: Path | None = None,
    views: int = 1,
    split: str = "val",
    batch: int = 64,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Top-1 and top-5 error of a run on a prepared dataset, over one view or ten (§4.1, §6).

    Args:
        run: a run folder.
        data: a prepared dataset; by default the one it was trained on.
        views: 1 (centre crop) or 10 (corners and centre, mirrored too), probabilities averaged.
        split: which images: val (test where there is no val; the held-out share where there is neither), train, test.
        batch: images at a time.
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    import numpy as np

    from alexnet.data import prepared as prepared_sets
    from alexnet.evaluation import errors
    from alexnet.insight import confusion
    from alexnet.insight.picture import with_word
    from alexnet.training import trained, trainer
    from alexnet.training.device import keep_memory, pick

    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    if batch < 1:
        raise InputError(f"--batch {batch}: must be at least 1")
    network = trained.load(run, pick(device))
    opened = prepared_sets.open(data or _data_of(run, there=True))
    if opened.classes != network.classes:
        raise InputError(
            f"{opened.path}: its classes are not the run's, or in another order ({len(opened.classes)} against"
            f" {len(network.classes)}); evaluate on data with the classes in {run / 'classes.json'}"
        )
    if split == "val":
        part, indices = trainer.validation_of(network.recipe, opened)
        where = trainer.measured_on(part)
    else:
        part = opened.split(split)
        indices, where = np.arange(len(part.labels)), part.name
    keep_memory()
    with Bar("images", err) as bar:
        measured = errors.evaluate(
            network.network,
            network.preparation,
            part.images,
            part.labels,
            network.classes,
            indices,
            views,
            batch,
            progress=lambda done, total: bar.update(where, done, total),
        )
    measured = replace(measured, checkpoint=network.checkpoint)
    name = f"{where.replace(' ', '-')}-{views}views"
    file, picture = run / f"evaluation-{name}.json", run / f"confusion-{name}.png"
    measured.save(file)
    confusion.draw(np.array(measured.confusion), network.classes, picture)
    page = _report(run, opened)
    if json:
        _print_json({"run": str(run), "data": str(opened.path), "split": where, **measured.to_dict()})
        return 0
    number = f"{measured.images:,} images, {views} view{'s' * (views > 1)}"
    out.print(f"{run}, {network.checkpoint}, on {opened.path} ({where}, {number})", markup=False, soft_wrap=True)
    five = len(network.classes) > 5  # with fewer classes every answer is among the first five
    table = Table("class", "images", "top-1 error %", *(["top-5 error %"] if five else []))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in measured.per_class[:100]:
        errors_of_class = (_percent(row["top1_error"]), _percent(row["top5_error"]))[: 1 + five]
        table.add_row(escape(with_word(row["label"])), str(row["images"]), *errors_of_class)
    table.add_section()
    of_all = (_percent(measured.top1_error), _percent(measured.top5_error))[: 1 + five]
    table.add_row("all", str(measured.images), *of_all, style="bold")
    out.print(table)
    if len(measured.per_class) > 100:
        out.print(f"the first 100 of {len(measured.per_class)} classes")
    out.print(f"all of it: {file}, {picture}, {page}", markup=False, soft_wrap=True)
    return 0


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def predict(
    run: Positional[Path],
    images: Positional[tuple[str, ...]],
    views: int = 10,
    picture: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> int:
    """The five most probable labels of images: files, folders, globs, or - for a list of files on stdin.

    An image that cannot be read is one line of error; the others go on.

    Args:
        run: a run folder.
        images: files, folders, globs, or -.
        views: 1 (centre crop) or 10.
        picture: draw the images with their labels and bars into this file (.png or .svg), like fig. 4 of the paper.
        device: auto, cpu, cuda or mps.
        json: print one JSON document on stdout.
    """
    import numpy as np

    from alexnet.evaluation.predict import Prediction, find, predictions
    from alexnet.insight import predictions as pictures
    from alexnet.training import trained
    from alexnet.training.device import pick

    if not images:
        raise InputError(
            "predict needs at least one IMAGE: a file, a folder, a glob, or - for a list of files on stdin"
        )
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    network = trained.load(run, pick(device))
    lines = sys.stdin.read().splitlines() if "-" in images else []
    documents: list[dict[str, Any]] = []
    shown: list[tuple[Prediction, np.ndarray]] = []
    good = 0
    for prediction in predictions(network, find(images, lines), views):
        documents.append(prediction.to_dict())
        if prediction.error is not None:
            err.print(f"alexnet predict: {prediction.image}: {prediction.error}", markup=False, soft_wrap=True)
            continue
        good += 1
        if picture and prediction.pixels is not None and len(shown) < 16:
            shown.append((prediction, prediction.pixels))
        if not json:
            out.print(prediction.image, markup=False, style="bold", soft_wrap=True)
            for line in pictures.text(prediction.labels):
                out.print("  ", line, sep="")
    if picture and shown:
        pixels = np.stack([image for _, image in shown])
        names = [Path(prediction.image).name for prediction, _ in shown]
        pictures.draw(pixels, [prediction.labels for prediction, _ in shown], [None] * len(shown), picture, names=names)
        err.print(f"drawn: {picture}" + (" (the first 16)" if good > 16 else ""), markup=False, soft_wrap=True)
    if not documents:
        raise InputError("-: no image is listed on stdin; give one path a line")
    if json:
        _print_json(documents)
    return 0 if good else 2


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
        err.print(f"{path} is not there any more: the report will have no predictions", markup=False, soft_wrap=True)
    page = _report(run, opened)
    if json:
        _print_json({"run": str(run), "report": str(page)})
    else:
        out.print(str(page), markup=False, soft_wrap=True)
    return 0


def kernels(run: Positional[Path], picture: Positional[Path] = Path("kernels.png"), json: bool = False) -> int:
    """Draw the first layer's learned kernels by column, like fig. 3 of the paper.

    Args:
        run: a run folder.
        picture: the file to draw (.png or .svg).
        json: print one JSON document on stdout.
    """
    from alexnet.insight import kernels as pictures
    from alexnet.training import trained

    pictures.draw(trained.load(run).network, picture, title=str(run))
    return _drawn(run, picture, json)


def curves(run: Positional[Path], picture: Positional[Path] = Path("curves.png"), json: bool = False) -> int:
    """Draw a run's loss and its training and validation error over the epochs.

    Args:
        run: a run folder.
        picture: the file to draw (.png or .svg).
        json: print one JSON document on stdout.
    """
    from alexnet.insight import curves as pictures
    from alexnet.training import recipe, trainer

    pictures.draw(trainer.read_metrics(run), picture, recipe.read(run).network.classes)
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
    4096 numbers; stopped at any moment, the same command goes on.

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

    from alexnet.evaluation.predict import find, predictions
    from alexnet.insight import figures, neighbours
    from alexnet.insight.picture import kind_of, save, with_word

    kind_of(picture)
    network, opened = _run_with_data(run, data, device)
    names: list[str] = []
    classes: list[str | None] = []
    if images:
        pixels = []
        for one in predictions(network, find(images), views=1):
            if one.pixels is None:
                err.print(f"alexnet similar: {one.image}: {one.error}", markup=False, soft_wrap=True)
                continue
            names.append(one.image)
            classes.append(None)
            pixels.append(one.pixels)
        if not pixels:
            raise InputError("none of these images can be read")
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
        _print_json({**where, "picture": str(picture), "images": documents})
        return 0
    for name, rows in zip(names, near, strict=True):
        out.print(name, markup=False, style="bold", soft_wrap=True)
        for row in rows:
            line = f"  {row['distance']:#9.4g}  {with_word(row['class'])}  {row['file']}"
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"drawn: {picture}", markup=False, soft_wrap=True)
    return 0


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
    from alexnet.evaluation.predict import predictions
    from alexnet.insight import activations as pictures
    from alexnet.insight.picture import kind_of, save
    from alexnet.training import trained
    from alexnet.training.device import pick

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
    out.print(str(picture), markup=False, soft_wrap=True)
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
        out.print(path, markup=False, soft_wrap=True)
    return 0


def _run_with_data(run: Path, data: Path | None, device: str) -> tuple[Any, Any]:
    """A run's network and a prepared dataset of its classes; InputError if there is none or it has others."""
    from alexnet.data import prepared as prepared_sets
    from alexnet.training import trained
    from alexnet.training.device import keep_memory, pick

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

    from alexnet.training import trainer

    if split == "val":
        part, indices = trainer.validation_of(network.recipe, opened)
        return part, indices, trainer.measured_on(part)
    part = opened.split(split)
    return part, np.arange(len(part.labels)), part.name


def _drawn(run: Path, picture: Path, json: bool) -> int:
    if json:
        _print_json({"run": str(run), "picture": str(picture)})
    else:
        out.print(str(picture), markup=False, soft_wrap=True)
    return 0


# --- alexnet export ---------------------------------------------------------------------------------------------------


def export(
    run: Positional[Path],
    format: Positional[Literal["onnx", "openvino"]],
    file: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    json: bool = False,
) -> int:
    """Write a run's network as one file for onnxruntime or OpenVINO, compared with the run's own before it is kept.

    The file takes float32 pixels [N, 3, S, S], RGB, 0-255, and gives probabilities and logits [N, classes]; the mean is
    subtracted inside, and the classes are among its properties. Needs the packages of alexnet[export].

    Args:
        run: a run folder.
        format: onnx or openvino.
        file: the file to write; by default network.onnx or network.xml in the run folder (network-int8...).
        int8: 8-bit weights and activations, calibrated on training images; the loss of accuracy is measured and stated.
        data: a prepared dataset to compare on, and for int8 to calibrate and measure on; by default the run's own.
        views: int8: measure the errors over 1 view or 10.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets
    from alexnet.export import write
    from alexnet.training import trained

    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")
    write.check_packages(format, int8)
    network = trained.load(run)
    path = data or (_data_of(run, there=int8) if int8 or (run / "data.json").is_file() else None)
    opened = prepared_sets.open(path) if path and (data or (path / "manifest.json").is_file()) else None
    if opened and not data and not int8 and opened.classes != network.classes:
        opened = None  # prepared anew as something else since the run; noise will do to compare on
    with Bar("images", err) as bar:
        made = write.export(network, format, file, opened, int8, views, progress=bar.update)
    if json:
        _print_json({"run": str(run), "checkpoint": network.checkpoint, "format": format, **made.to_dict()})
        return 0
    names = ", ".join(str(part) for part in made.files)
    out.print(f"{names}: {made.bytes / 1e6:,.0f} MB{', int8' if int8 else ''}", markup=False, soft_wrap=True)
    out.print(
        f"float32 against the run's own network on {made.compared}: probabilities differ by"
        f" {made.probability_difference:.1e} at most, logits by {made.logit_difference:.1e} of the largest",
        markup=False,
        soft_wrap=True,
    )
    if made.before and made.after:
        five = len(network.classes) > 5
        table = Table(escape(made.measured or ""), "top-1 error %", *(["top-5 error %"] if five else []))
        for name, errors in (("float32", made.before), ("int8", made.after)):
            table.add_row(name, f"{errors.top1_error:.2f}", *([f"{errors.top5_error:.2f}"] if five else []))
        _wide(table)
    return 0


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
            out.print(f"[{colour}]{mark}[/{colour}]", end=" ")
            out.print(finding.what, markup=False, soft_wrap=True)
            if finding.fix:
                out.print(f"  → {finding.fix}", markup=False, soft_wrap=True)
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


def claims_run(
    ids: Positional[tuple[str, ...]] = (),
    all: bool = False,
    scale: Literal["smoke", "small", "reduced", "imagenette", "imagenet"] = "smoke",
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
    from alexnet.claims.claims import scales
    from alexnet.data import prepared as prepared_sets
    from alexnet.training.device import keep_memory

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
    with _signals() as caught, Bar("runs", err) as bar:
        try:
            made = runner.run(
                chosen,
                at,
                opened,
                out,
                results or out / "results",
                range(number),
                jobs,
                options=said,
                note=note,
                progress=bar.claims,
                stop=lambda: bool(caught),
            )
        except runner.Stopped:
            err.print("stopped; the same command goes on where it was", markup=False)
            return 128 + (caught[0] if caught else signal.SIGINT)
    if json:
        _print_json([ledger.to_dict(result) for result in made])
    else:
        for result in made:
            for line in ledger.lines(result):
                out_line(line)
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
            lines += [f"[bold]{scale}[/bold], {ledger.seeds(outcomes)}"] if outcomes else []
            lines += [
                f"{escape(ledger.label(one.comparison, claim))} {ledger.measured(one)}"
                f" [{_VERDICTS[one.verdict]}]{one.verdict.removesuffix(' at this scale')}[/]"
                for one in outcomes
            ]
        table.add_row(f"{claim.id}\n[dim]{claim.section}[/dim]", "\n".join(says), "\n".join(lines))
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
    scale: Literal["smoke", "small", "reduced", "imagenette", "imagenet"] | None = None,
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
        make = f"alexnet claims run {id} --scale {scale} makes one"
        fix = make if claim.variants and scale in claim.scales else "the claim has no experiment at that scale"
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
        out.print(f"\n[bold]scale {result.scale}[/bold]")
        for block in ledger.show(result):
            if isinstance(block, str):
                out_line(block)
                continue
            out_line(block.title)
            table = Table(*block.headings, show_header=any(block.headings))
            for row in block.rows:
                table.add_row(*(escape(cell) for cell in row))
            _at_most_100(table)
    return 0


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
    _Console(width=None if out.is_terminal else 100, highlight=False).print(table)


def out_line(line: str) -> None:
    """A line on stdout as it stands."""
    out.print(line, markup=False, soft_wrap=True)


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
    "train": (train, "a recipe and a prepared dataset → a run"),
    "evaluate": (_typed("evaluate", evaluate), "top-1 and top-5 error of a run"),
    "predict": (_typed("predict", predict), "five labels for an image"),
    "export": (_typed("export", export), "a run's network for onnxruntime or OpenVINO, float32 or int8"),
    "report": (_typed("report", report), "a run as one HTML page"),
    "kernels": (_typed("kernels", kernels), "a run's first-layer kernels, drawn by column"),
    "curves": (_typed("curves", curves), "a run's loss and errors over the epochs, drawn"),
    "similar": (_typed("similar", similar), "the training images nearest to an image, as the network sees it"),
    "activations": (_typed("activations", activations), "what every layer makes of one image, drawn"),
    "units": (_typed("units", units), "what excites a layer's units most, drawn"),
    "figures": (_typed("figures", figures), "all of the paper's figures, for a run"),
    "claims": (claims, "every claim of the paper, as an experiment, and what it gave"),
    "doctor": (_typed("doctor", doctor), "what is wrong with this folder, and the fix"),
}


def main(args: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = sys.argv[1:] if args is None else args
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text that a terminal can show
        sys.stdout.reconfigure(errors="backslashreplace")
    if not args or args[0] in ("-h", "--help"):
        out.print("alexnet COMMAND ... — ImageNet classification with deep convolutional neural networks, 2012\n")
        for name, (_, line) in COMMANDS.items():
            out.print(f"  {name:11} {line}")
        out.print("\nalexnet COMMAND --help says the rest.")
        return 0 if args else 2
    if args[0] == "--version":
        from importlib.metadata import version

        out.print(f"alexnet {version('alexnet')}")
        return 0
    if args[0] not in COMMANDS:
        err.print(f"alexnet: no command {args[0]!r}; the commands are {', '.join(COMMANDS)}", markup=False)
        return 2
    try:
        return COMMANDS[args[0]][0](args[1:])
    except InputError as error:
        err.print(f"alexnet {args[0]}: {error}", markup=False, soft_wrap=True)
        return 2
    except RunFailed as error:
        err.print(f"alexnet {args[0]}: {error}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        resumes = args[0] in ("prepare", "similar", "figures")
        go_on = "; the same command goes on where it was" if resumes else ""
        err.print(f"alexnet {args[0]}: interrupted{go_on}", markup=False)
        return 130
    except BrokenPipeError:
        # Whoever read us (head, less) has left; nothing more can be said to it, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # What the machine refuses: a folder that may not be written, a disk that is full or gone. It names the file.
        err.print(f"alexnet {args[0]}: {error}", markup=False, soft_wrap=True)
        return 1 if error.errno == errno.ENOSPC else 2


if __name__ == "__main__":
    sys.exit(main())
