"""alexnet report, kernels, curves, similar, activations, units, figures: inside a run."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, print_json, say_drawn
from alexnet.cli.evaluate import SOME_UNREAD
from alexnet.cli.progress import Bar
from alexnet.cli.runs import data_of, images_of_run, run_with_data, write_report
from alexnet.errors import InputError


def report(run: Positional[Path], data: Path | None = None, json: bool = False) -> int:
    """Write RUN/report.html again: recipe, curves, learned kernels, predictions and errors, one file that opens offline.

    Args:
        run: a run folder.
        data: a prepared dataset; by default the one it was trained on, if it is still there.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets

    path = data or data_of(run)
    opened = prepared_sets.open(path) if data or (path / "manifest.json").is_file() else None
    if opened is None:
        err.print(f"no prepared dataset at {path}: the report will have no predictions", soft_wrap=True)
    page = write_report(run, opened)
    if json:
        print_json({"run": str(run), "report": str(page)})
    else:
        out_line(str(page))
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
        return say_drawn(folders[0], picture, json)
    pictures.draw_several(networks, picture)
    if json:
        print_json({"runs": [str(run) for run in folders], "picture": str(picture)})
    else:
        out_line(str(picture))
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
    return say_drawn(run, picture, json)


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
    network, opened = run_with_data(run, data, device)
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
                print_json({"run": str(run), "data": str(opened.path), "picture": None, "images": unread})
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
        print_json({**where, "picture": str(picture), "images": documents + unread})
        return SOME_UNREAD if unread else 0
    for name, rows in zip(names, near, strict=True):
        out.print(name, style="bold", soft_wrap=True)
        for row in rows:
            line = f"  {row['distance']:#9.4g}  {with_word(row['class'])}  {row['file']}"
            out_line(line)
    out_line(f"drawn: {picture}")
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
    return say_drawn(run, picture, json)


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
    network, opened = run_with_data(run, data, device)
    layer = pictures.known(network.network, layer or figures.last_convolution(network))
    pictures.check(network.network, layer, units)
    part, indices, where = images_of_run(network, opened, split)
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
        print_json({**document, "field": field, "picture": str(picture), "units": rows})
        return 0
    out_line(str(picture))
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

    network, opened = run_with_data(run, data, device)
    folder = folder or run / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with Bar("images", err) as bar:
        for name, figure in pictures.all_figures(network, opened, keep, bar.update):
            written.append(str(pictures.save(figure, folder, name, format)))
    if json:
        print_json({"run": str(run), "pictures": written})
        return 0
    for path in written:
        out_line(path)
    return 0
