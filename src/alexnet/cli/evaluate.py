"""alexnet evaluate, predict: errors of runs, labels for images."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from alexnet.cli.console import err, error_table, error_texts, out, out_line, print_json, show
from alexnet.cli.progress import Bar
from alexnet.errors import InputError
from alexnet.words import counted

if TYPE_CHECKING:  # which bring torch along
    from alexnet.evaluation.calibration import Calibration
    from alexnet.evaluation.ensemble import Averaged, Search
    from alexnet.evaluation.measure import Evaluation
    from alexnet.evaluation.probabilities import Options
    from alexnet.evaluation.submission import Submission
    from alexnet.insight.evaluate import Evaluated
    from alexnet.run.predict import Prediction
    from alexnet.run.trained import TrainedNetwork


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

    Of one run: errors by class, a confusion picture, the report written again with precision and recall by class, and the
    calibration: whether the network is as often right as it is sure, and the temperature that mends it. Errors on other data
    than the run's own are kept beside those. Of several runs: each
    one's error, and error and calibration of the mean of their class probabilities (§6, Table 2). Runs may be of different
    networks and image sizes; classes and images have to be the same. Probabilities are kept in RUN/predictions and read again
    while nothing has changed; of one run alone only up to 1 GB of them, and there is no calibration of more. There is a
    confusion picture up to 1,000 classes. Under torchrun the processes share the images.

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
    from alexnet.evaluation.ensemble import Search
    from alexnet.evaluation.probabilities import Options

    options = Options(views, batch, device, precision, keep)
    if search_on is not None and weights == "mean":
        raise InputError(f"--search-on {search_on}: a share between 0 and 1, beside --weights search")
    search = Search(search_on, seed) if weights == "search" else None
    if not runs:
        return _score(submission, data, split, devkit, json)
    return _evaluate(runs, data, split, images, search, submission, devkit, options, json)


def _evaluate(
    runs: tuple[Path, ...],
    data: Path | None,
    split: str,
    images: str | None,
    search: "Search | None",
    submission: Path | None,
    devkit: Path | None,
    options: "Options",
    json: bool,
) -> int:
    from alexnet.evaluation.ensemble import Averaged, Submitted, evaluate_several, submit
    from alexnet.insight.evaluate import Evaluated
    from alexnet.insight.evaluate import evaluate as evaluate_one
    from alexnet.processes import joined

    if images and not submission:
        raise InputError(f"--images {images}: they have no labels to measure an error on; add --submission FILE")
    if images and search:
        raise InputError("--weights search: needs two runs or more, and images with labels")
    result: Submitted | Averaged | Evaluated
    with joined(str(options.device)) as processes:
        options = replace(options, processes=processes)
        with Bar("images", err) as bar:
            if images and submission:
                result = submit(runs, images, submission, devkit, options, bar.update)
            elif search or len(runs) > 1:
                result = evaluate_several(runs, data, split, options, search, submission, devkit, bar.update)
            else:
                result = evaluate_one(runs[0], data, split, options, submission, devkit, bar.update)
    if isinstance(result, Submitted):
        for name, reason in result.bad.items():  # each process has read others
            err.print(f"{name}: {reason}; judged as a grey image", soft_wrap=True)
    if processes.first:  # one speaks for all
        match result:
            case Submitted():
                show(result, json, *_written(result.submission))
            case Averaged():
                _show_several(result, json)
            case Evaluated():
                _show_one(result, json)
    return 0


def _show_one(result: "Evaluated", json: bool) -> None:
    from alexnet.evaluation.measure import CONFUSED
    from alexnet.words import with_word

    measured = result.evaluation
    number = len(measured.per_class)
    if result.not_held:
        err.print(f"class probabilities are not kept: they would take {result.not_held / 1e9:,.1f} GB")
    if result.not_drawn:
        err.print(f"left out: {result.not_drawn}", soft_wrap=True)
    elif measured.confusion is None:
        err.print(f"no confusion matrix: {number:,} classes; up to {CONFUSED:,} have one")
    if json:
        print_json(result.to_dict())
        return
    on = f"{result.data} ({result.split}, {_images(measured)}, {measured.precision})"
    out_line(f"{result.run}, {measured.checkpoint}, on {on}")
    table = error_table("class", "images", classes=number)
    for row in measured.per_class[:100]:
        errors = error_texts(row["top1_error"], row["top5_error"], number)
        table.add_row(with_word(row["label"]), str(row["images"]), *errors)
    table.add_section()
    errors = error_texts(measured.top1_error, measured.top5_error, number)
    table.add_row("all", str(measured.images), *errors, style="bold")
    out.table(table)
    if number > 100:
        out.print(f"the first 100 of {number} classes")
    if measured.calibration:
        out_line(_calibration(measured.calibration))
    out_line(f"all of it: {', '.join(map(str, result.files))}")
    for line in _written(result.submission):
        out_line(line)


def _calibration(measured: "Calibration") -> str:
    """Guo et al.'s figures in a line."""
    said = f"calibration: ECE {measured.error:.2f} points; temperature {measured.temperature:.2f}"
    if measured.nll_after is None:
        return said
    return f"{said} (ECE → {measured.error_after:.2f}, NLL {measured.nll:.3f} → {measured.nll_after:.3f} on the other half)"


def _show_several(result: "Averaged", json: bool) -> None:
    if result.same_labels:
        err.print(
            "warning: the weights were searched on the labels that these errors are reported on, as in 2012, so the weighted"
            " mean looks better than it is; --search-on 0.5 searches on one half and reports on the other",
            soft_wrap=True,
        )
    if json:
        print_json(result.to_dict())
        return
    classes, weights = len(result.mean.per_class), result.weights
    table = error_table("network", *(["weight"] if weights else []), classes=classes)
    shares = [[f"{share:.3f}"] for share in weights] if weights else [[]] * len(result.runs)
    for name, share, measured in zip(result.runs, shares, result.each, strict=True):
        table.add_row(name, *share, *error_texts(measured.top1_error, measured.top5_error, classes))
    table.add_section()
    means = [("mean of their probabilities", result.mean, ["equal"] if weights else [])]
    means += [("mean with these weights", result.weighted, [""])] if result.weighted else []
    for name, measured, share in means:
        table.add_row(name, *share, *error_texts(measured.top1_error, measured.top5_error, classes), style="bold")
    out.print(f"{len(result.runs)} networks on {result.split}, {_images(result.mean)}")
    out.table(table)
    for name, measured, _ in means:
        if measured.calibration:
            out_line(f"{name}, {_calibration(measured.calibration)}")
    for name, text in (("average", "their average"), ("best", f"the best one, {result.best}")):
        top1, top5 = (f"{value:+.2f}".replace("-", "−") for value in result.against()[name])
        out_line(f"the mean against {text}: {top1 if classes <= 5 else f'{top1} / {top5}'} points")
    if weights:
        images = "the same images" if result.same_labels else f"{result.searched_on:,} other images"
        out_line(f"weights: searched on the labels of {images}")
    for line in _written(result.submission):
        out_line(line)


def _images(measured: "Evaluation") -> str:
    return f"{measured.images:,} images, {counted(measured.views, 'view')}"


def _written(submission: "Submission | None") -> list[str]:
    if submission is None:
        return []
    return [
        f"submission: {submission.path}, {submission.lines:,} lines in the order of the images' names, read again and"
        f" checked; its class numbers: {submission.listed}"
    ]


def _score(submission: Path | None, data: Path | None, split: str, devkit: Path | None, json: bool) -> int:
    from alexnet.evaluation.submission import score_file

    if submission is None or data is None:
        raise InputError(
            "evaluate needs a RUN, the folder of a trained run, or several to average; or --submission FILE and --data DIR"
            " to measure a file"
        )
    score = score_file(submission, data, split, devkit)
    errors = f"top-1 error {score.top1_error:.2f} %, top-5 {score.top5_error:.2f} %"
    show(score, json, f"{submission}: {score.images:,} lines, {errors} on {data} ({score.split})")
    return 0


def predict(
    images: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="[RUN] IMAGE ...")],
    views: int = 10,
    picture: Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "float32", "bf16"] | None = None,
    json: bool = False,
) -> int:
    """The five most probable labels of images: [RUN] IMAGE ...; files, folders, globs, or - for a list of files on stdin.

    Without RUN, the network that comes with the package answers: it knows ten classes, which are named, and nothing else.
    An image that cannot be read is one line on stderr, and an error in place of labels with --json; the others go on. The exit
    code is then 3, whether it was one image or all. 0: all were read; 2: bad input, such as no run; 1: it failed.

    Args:
        images: a run folder, a network file, its URL, hf:OWNER/NAME or starter, if another than the starter is to answer; then
            files, folders, globs, or -.
        views: 1 (centre crop) or 10.
        picture: draw the images with their labels and bars into this file (.png or .svg), like fig. 4 of the paper.
        device: auto, cpu, cuda or mps.
        precision: what is computed in, where it is not to be the run's: auto is bf16 where the device multiplies it.
        json: print one JSON document on stdout.
    """
    from alexnet.insight import predictions

    def say(prediction: "Prediction") -> None:
        if prediction.error is not None:
            err.print(f"alexnet predict: {prediction.image}: {prediction.error}", soft_wrap=True)
        elif not json:
            out.print(prediction.image, style="bold", soft_wrap=True)
            for line in predictions.text(prediction.top):
                out.print("  ", line, sep="", soft_wrap=True)

    def introduce(network: "TrainedNetwork") -> None:
        if run is None:
            err.print(predictions.about(network), soft_wrap=True)

    run, named = predictions.network_and_images(images)
    listed = sys.stdin.read().splitlines() if "-" in named else []
    result = predictions.predict(run, named, views, picture, device, precision, listed, say, introduce)
    if result.picture:
        some = f" (the first {predictions.MOST})" if result.read > predictions.MOST else ""
        err.print(f"drawn: {picture}{some}", soft_wrap=True)
    show(result, json)
    return 0 if result.read == len(result.predictions) else SOME_UNREAD


SOME_UNREAD = 3
"""Exit code of a command that did what it was asked, but for images that could not be read, or all of them."""
