"""alexnet report, kernels, curves, similar, activations, units, figures: inside a run."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, print_json, show
from alexnet.cli.evaluate import SOME_UNREAD
from alexnet.cli.progress import Bar


def report(run: Positional[Path], data: Path | None = None, json: bool = False) -> int:
    """Write RUN/report.html again: recipe, curves, learned kernels, predictions and errors, one file that opens offline.

    Args:
        run: a run folder.
        data: a prepared dataset; by default the one it was trained on, if it is still there.
        json: print one JSON document on stdout.
    """
    from alexnet.insight.report import rewrite

    page = rewrite(run, data)
    if not page.shows_data:
        err.print(f"no prepared dataset at {page.data}: the report will have no predictions", soft_wrap=True)
    show(page, json, str(page.path))
    return 0


def kernels(runs: Positional[tuple[Path, ...]], json: bool = False) -> int:
    """Draw the first layer's learned kernels by column, like fig. 3 of the paper; those of several runs side by side.

    Args:
        runs: a run folder, a network file or starter, or several, then the file to draw (.png or .svg; by default kernels.png).
        json: print one JSON document on stdout.
    """
    from alexnet.insight.kernels import draw
    from alexnet.run.locate import is_file

    named = len(runs) > 1 and not runs[-1].is_dir() and not is_file(runs[-1])
    drawn = draw(runs[:-1], runs[-1]) if named else draw(runs, Path("kernels.png"))
    show(drawn, json, str(drawn.picture))
    return 0


def curves(run: Positional[Path], picture: Positional[Path] = Path("curves.png"), json: bool = False) -> int:
    """Draw a run's loss and its training and validation error over the epochs.

    Args:
        run: a run folder.
        picture: the file to draw (.png or .svg).
        json: print one JSON document on stdout.
    """
    from alexnet.insight.curves import draw

    show(draw(run, picture), json, str(picture))
    return 0


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
    from alexnet.insight.neighbours import similar as search
    from alexnet.words import with_word

    with Bar("images", err) as bar:
        result = search(run, images, picture, data, split, sample, count, keep, device, bar.update)
    for unread in result.unread:
        err.print(f"alexnet similar: {unread.image}: {unread.error}", soft_wrap=True)
    if json:
        print_json(result.to_dict())
    elif result.queries:
        for name, rows in zip(result.queries.names, result.neighbours, strict=True):
            out.print(name, style="bold", soft_wrap=True)
            for row in rows:
                out_line(f"  {row['distance']:#9.4g}  {with_word(row['class'])}  {row['file']}")
        out_line(f"drawn: {picture}")
    return SOME_UNREAD if result.unread else 0


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
    from alexnet.insight.activations import draw

    show(draw(run, image, picture, device), json, str(picture))
    return 0


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
    from alexnet.insight.units import patches

    with Bar("images", err) as bar:
        result = patches(run, picture, data, layer, units, count, split, device, bar.update)
    show(result, json, str(picture))
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
    from alexnet.insight.figures import draw

    with Bar("images", err) as bar:
        result = draw(run, folder, format, data, keep, device, bar.update)
    show(result, json, *map(str, result.pictures))
    return 0
