"""A run measured on the images of a split, with all that belongs to it: the errors' file, the confusion picture, the report."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import ensemble, probabilities
from alexnet.evaluation.calibration import calibrate
from alexnet.evaluation.judged import Progress, of_run
from alexnet.evaluation.measure import Evaluation
from alexnet.evaluation.probabilities import Options
from alexnet.evaluation.submission import Submission, planned
from alexnet.extras import lacking
from alexnet.insight import confusion, picture
from alexnet.run import checkpoint
from alexnet.run.folder import REPORT, is_data_of, is_imported


@dataclass(frozen=True)
class Evaluated:
    """The errors of a run, and the files that were written."""

    run: Path
    data: Path
    split: str
    evaluation: Evaluation
    files: tuple[Path, ...]
    """Errors as JSON; the confusion matrix as a picture and the report, where they could be drawn"""
    submission: Submission | None
    not_held: int = 0
    """Bytes of class probabilities that were too many to hold and keep; 0: they were held"""
    not_drawn: str = ""
    """What the confusion picture and the report lack; empty: they were written"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        places = {"run": str(self.run), "data": str(self.data), "split": self.split}
        return {**places, **(self.submission.to_dict() if self.submission else {}), **self.evaluation.to_dict()}


def evaluate(
    run: Path,
    data: Path | None = None,
    split: str = "val",
    options: Options = Options(),
    submission: Path | None = None,
    devkit: Path | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a run's newest checkpoint on a split (§6); write its errors and calibration, the confusion picture, the report.

    Without the packages of the extra `report` only the errors are written. data: a prepared dataset; by default the run's own.
    Errors on another than that have files of their own, and are told apart in the report.
    split: val (test where there is no val; the held-out share where there is neither), train, test. submission: a file for five
    labels an image, with the ids of `devkit` (`submission.ids_of`).
    Class probabilities are kept in RUN/predictions (`probabilities.compute`), but those above 1 GB are counted as they
    come, unless a submission needs them. All processes get the result; the first one writes. Raises InputError for bad input.
    """
    prepared, judged = of_run(run, data, split)
    file = planned(submission, judged.classes, devkit) if submission else None
    size = 4 * len(judged.indices) * len(judged.classes)
    not_held = size if file is None and size > probabilities.MOST else 0
    if not_held:
        measured = probabilities.count_errors(run, judged, options, progress)
    else:
        answers = probabilities.compute(run, judged, options, progress)
        measured = ensemble.measure(answers, judged.labels, judged.classes, options.views, confusion=True)
        measured = replace(measured, calibration=calibrate(answers, judged.labels))
    measured = replace(
        measured,
        checkpoint=checkpoint.newest(run).name,
        precision=options.precision_of(run),
        source=prepared.manifest["source"]["description"],
    )
    other = not is_imported(run) and not is_data_of(run, prepared)
    name = f"{f'on-{prepared.path.resolve().name}-' * other}{judged.where.replace(' ', '-')}-{options.views}views"
    errors, not_drawn = run / f"evaluation-{name}.json", lacking("report")
    page = None if not_drawn else run / REPORT
    matrix = run / f"confusion-{name}.png" if page and measured.confusion is not None else None
    if options.processes.first:
        measured.save(errors)
        if matrix and measured.confusion is not None:
            picture.save(confusion.figure(measured.confusion, judged.classes), matrix)
        file = file and file.write(answers, judged.files)
        if page:
            _report(run, None if other else prepared)
    files = tuple(path for path in (errors, matrix, page) if path)
    return Evaluated(run, prepared.path, judged.where, measured, files, file, not_held, not_drawn)


def _report(run: Path, prepared: Prepared | None) -> None:
    """Write the report; `prepared`: the run's dataset, where it is at hand. Else it is looked for, and left out if need be."""
    from alexnet.insight import report  # jinja2 comes with it

    if prepared:
        report.write(run, prepared)
        return
    try:
        report.rewrite(run)
    except InputError:  # prepared again with other classes, say, or damaged: not what this evaluation is about
        report.write(run)
