"""One runner for all claims: their runs, each once, seed after seed, resumable, and a result file for every claim.

Whatever stops it, the same call goes on: a run from its checkpoint, a finished one from the measured.json of its folder. Where only
result files are at hand, no run of theirs is done again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alexnet.claims.claim import Claim, Scale, at
from alexnet.claims.expand import search_tasks
from alexnet.claims.keys import Folders, Task
from alexnet.claims.perform import save
from alexnet.claims.records import Record, Result, images_of, load
from alexnet.claims.sheet import Sheet, trials_of
from alexnet.claims.workers import Now, Work
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.run import checkpoint
from alexnet.run.folder import MEASURED


def run(
    claims: Sequence[Claim],
    scale: Scale,
    prepared: Prepared,
    out: Path,
    results: Path,
    seeds: Sequence[int],
    jobs: int = 1,
    options: str = "",
    note: str = "",
    progress: Callable[[Now], None] = lambda now: None,
    stop: Callable[[], bool] = lambda: False,
    pretraining: Prepared | None = None,
) -> list[Result]:
    """Run what is left of these claims at a scale, and write RESULTS/SCALE/ID.json for each; returns those results.

    out: where the run folders are. seeds: in turn, every claim's first before any claim's second, so that whatever there is
    after a while can be compared. jobs: runs at a time, each a process with its share of the threads. `options` (those of the
    command that matter) and `note` (what the data is) go into the results. pretraining: other images, for variants whose
    networks begin with weights of them; None leaves those out, and a later call with them adds them. Raises Stopped once `stop`
    says so; the same call then goes on. Raises InputError for a claim that the scale does not have, and for data that does not
    fit it.
    """
    claims = [at(claim, scale) for claim in claims]
    for claim in claims:
        needed = scale.base(claim).image_size
        for each in (prepared, pretraining):
            if each and each.size < needed:
                raise InputError(
                    f"{each.path}: its images are {each.size}×{each.size}; scale {scale.name} takes {scale.data}"
                )
    for path in (out / scale.name, results / scale.name):
        path.mkdir(parents=True, exist_ok=True)
    folders = Folders(out / scale.name, prepared, pretraining)
    restore(results, scale, folders)
    work = Work(folders, jobs, progress, stop)
    searches = {claim.id: search_tasks(claim, scale) for claim in claims}
    _search([tasks for search in searches.values() for tasks in search.values()], work, folders)
    trials = {id: trials_of(search, folders) for id, search in searches.items()}
    sheets = [Sheet(claim, scale, folders, results, seeds, trials[claim.id], options, note) for claim in claims]
    work.perform([first for sheet in sheets for first in sheet.first()])
    in_turn = [task for seed in seeds for sheet in sheets for task in sheet.of_seed(seed)]
    work.perform(in_turn, lambda: [sheet.write() for sheet in sheets])
    return [sheet.write() for sheet in sheets]


def _search(variants: Sequence[Sequence[Task]], work: Work, folders: Folders) -> None:
    """Perform the search runs of variants: all at once, but those with a target in rounds, one rate of every variant a round, so
    that none goes on for longer than the soonest before it took."""
    work.perform([task for tasks in variants for task in tasks if task.run.until is None])
    to_target = [tasks for tasks in variants if tasks[0].run.until is not None]
    for number in range(max(map(len, to_target), default=0)):
        turn = list[Task]()
        for tasks in to_target:
            before = [record.values for task in tasks[:number] if (record := folders.record(task))]
            soonest = min((values["epochs_to_target"] for values in before if values["reached"]), default=None)
            turn += [replace(task, within=soonest) for task in tasks[number : number + 1]]
        work.perform(turn)


def restore(results: Path, scale: Scale, folders: Folders) -> None:
    """Make the runs that only result files know finished ones again: OUT/SCALE/.../measured.json, without weights.

    So experiments go on on another machine with nothing but RESULTS brought along. Runs on other data are left out, those of
    older results, which do not name their keys, and those that are under way here. A measure that such a run lacks trains it
    anew.
    """
    known: dict[str, tuple[str, Record]] = {}
    for path in sorted((results / scale.name).glob("*.json")):
        try:
            result = load(path)
        except InputError:  # not ours, or damaged: its runs are done again
            continue
        if result.data.images == images_of(folders.images):
            for ending, name, record in _records(result):
                known[ending] = (name, known[ending][1].joined(record) if ending in known else record)
    for ending, (name, record) in known.items():
        path = folders.named(ending, name)
        # Of a run that is under way the weights are there, but not those that were measured.
        if not (path / MEASURED).exists() and checkpoint.latest(path) is None:
            save(record, path)


def _records(result: Result) -> Iterator[tuple[str, str, Record]]:
    """(how its folder's name ends, what it is called, its record) of every run that a result knows."""
    for name, variant in result.variants.items():
        for run in variant.runs:
            if variant.key and run.commit and not run.networks:
                record = replace(run, seed=None, machine=run.machine or result.machine, images=result.data.images)
                yield f"{variant.key}-seed{run.seed}", f"{result.claim} {name}", record
    for name, trials in result.search.items():
        for trial in trials:
            record = Record(
                values=trial.values,
                diverged=trial.diverged,
                seconds=trial.seconds,
                commit=trial.commit,
                machine=result.machine,
                images=result.data.images,
            )
            yield f"{trial.key}-seed{trial.seed}", f"{result.claim} {name} rate {trial.rate:g}", record
