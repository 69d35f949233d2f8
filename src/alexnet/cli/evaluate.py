"""alexnet evaluate, predict: errors of runs, labels for images."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, percent_text, print_json
from alexnet.cli.runs import judged_images, probabilities_of, with_bar, write_report
from alexnet.errors import InputError


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
    from alexnet.data.views import check_views

    check_views(views)
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

    opened, judged = judged_images(run, data, split)
    ids = _ids_of(submission, opened.classes, devkit)
    views, where = how["views"], judged.where
    probabilities, size = None, kept.bytes_of(run, judged)
    if submission is None and size > kept.MOST:
        measured = with_bar(kept.measure, run, judged, {name: how[name] for name in how if name != "keep"})
    else:
        probabilities = probabilities_of(run, judged, how)
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
    files.append(write_report(run, opened))
    written = _write_submission(submission, probabilities, judged, opened.classes, ids)
    if json:
        print_json({"run": str(run), "data": str(opened.path), "split": where, **written, **measured.to_dict()})
        return 0
    number = f"{measured.images:,} images, {views} view{'s' * (views > 1)}, {precision}"
    out_line(f"{run}, {measured.checkpoint}, on {opened.path} ({where}, {number})")
    five = len(opened.classes) > 5  # with fewer classes every answer is among the first five
    table = Table("class", "images", "top-1 error %", *(["top-5 error %"] if five else []))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in measured.per_class[:100]:
        errors_of_class = (percent_text(row["top1_error"]), percent_text(row["top5_error"]))[: 1 + five]
        table.add_row(with_word(row["label"]), str(row["images"]), *errors_of_class)
    table.add_section()
    of_all = (percent_text(measured.top1_error), percent_text(measured.top5_error))[: 1 + five]
    table.add_row("all", str(measured.images), *of_all, style="bold")
    out.table(table)
    if len(measured.per_class) > 100:
        out.print(f"the first 100 of {len(measured.per_class)} classes")
    out_line(f"all of it: {', '.join(map(str, files))}")
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

    both = [judged_images(run, data, split) for run in runs]
    classes, judged = both[0][0].classes, both[0][1]
    ensemble.check_alike(runs, [opened.classes for opened, _ in both], [own for _, own in both])
    ids = _ids_of(submission, classes, devkit)
    probabilities = [probabilities_of(run, own, how) for run, (_, own) in zip(runs, both, strict=True)]
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
        print_json({**where, **written, **made.to_dict()})
        return 0
    five = len(classes) > 5
    table = Table(
        "network", *(["weight"] if made.weights else []), "top-1 error %", *(["top-5 error %"] if five else [])
    )
    for column in table.columns[1:]:
        column.justify = "right"
    shares = [f"{share:.3f}" for share in made.weights or ()]
    for k, (name, one) in enumerate(zip(made.runs, made.each, strict=True)):
        figures = (percent_text(one.top1_error), percent_text(one.top5_error))[: 1 + five]
        table.add_row(name, *([shares[k]] if shares else []), *figures)
    table.add_section()
    means = [("mean of their probabilities", made.mean, "equal")]
    means += [("mean with these weights", made.weighted, "")] if made.weighted else []
    for name, one, share in means:
        figures = (percent_text(one.top1_error), percent_text(one.top5_error))[: 1 + five]
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
    from alexnet.run import folder

    classes = [kept.classes_of(run) for run in runs]
    ids = _ids_of(submission, classes[0], devkit)
    sizes = [len(folder.statistics_of(run)[0]) for run in runs]
    of_size = {size: unlabelled.unlabelled(images, size) for size in sizes}
    all_judged = [of_size[size] for size in sizes]
    ensemble.check_alike(runs, classes, all_judged)
    probabilities = [probabilities_of(run, judged, how) for run, judged in zip(runs, all_judged, strict=True)]
    for name, reason in unlabelled.bad(of_size.values()).items():  # each process has read others
        err.print(f"{name}: {reason}; judged as a grey image", soft_wrap=True)
    if not how["processes"].first:
        return 0
    written = _write_submission(submission, ensemble.mean(probabilities), all_judged[0], classes[0], ids)
    if json:
        print_json({"runs": [str(run) for run in runs], "images": images, **written})
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
        print_json({"submission": str(path), "data": str(data), "split": part.name, **errors_})
    else:
        out_line(f"{path}: {len(order):,} lines, top-1 error {top1:.2f} %, top-5 {top5:.2f} % on {data} ({part.name})")
    return 0


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

    from alexnet.data.views import check_views
    from alexnet.device import pick
    from alexnet.insight import predictions as pictures
    from alexnet.run import trained
    from alexnet.run.predict import Prediction, find, predictions

    if not images:
        raise InputError(
            "predict needs at least one IMAGE: a file, a folder, a glob, or - for a list of files on stdin"
        )
    check_views(views)
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
        print_json(documents)
    return 0 if good == len(documents) else SOME_UNREAD


SOME_UNREAD = 3
"""Exit code of a command that did what it was asked, but for images that could not be read, or all of them."""
