"""One runner for all claims: every run once, seed after seed, resumable, its measurements kept in its own folder.

OUT/SCALE/NAME-HASH-seed0/ is a run folder like any other, plus measured.json. HASH is of everything that decides the
outcome (recipe, data, where it ends), so that claims share their runs and a changed recipe is another run. Result files know
their runs by the same hash: where only they are at hand, no run of theirs is done again (`restore`).
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from alexnet import provenance
from alexnet.claims.claim import Claim, Run, Scale, at, search_of
from alexnet.claims.measures import Measure, Measured
from alexnet.claims.results import Result, joined, load, merged
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.device import keep_memory, low_precision, pick
from alexnet.errors import InputError, RunFailed
from alexnet.files import only_writer, write_text
from alexnet.network.spec import Network
from alexnet.processes import STOPPING
from alexnet.reading import read_json
from alexnet.run import checkpoint, trained
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, flatten
from alexnet.training import trainer
from alexnet.training.trainer import Status

MEASURED = "measured.json"

KEPT = ("values", "diverged", "training", "validation", "seconds", "measures", "commit")
"""What a result keeps of a run's record."""

NO_MATTER = ("name", "network.name", "network.classes", "device", "compile", "resident", "keep", "checkpoint_minutes")
"""Fields of a recipe that do not decide the outcome of a run; classes come from the data."""

SINCE = (
    "last_rate_after",
    "layer_rates",
    "freeze",
    "base_batch",
    "warmup_epochs",
    "rule",
    "trust",
    "network.bottleneck",
)
"""Fields that recipes did not have when the first results were made, and that change nothing as long as they have their
defaults: then they are left out of the hash, so that older run folders are found. A new field of a recipe goes here."""


WORDS = ("network.lrn.", "network.pooling.")


class Stopped(Exception):
    """The runner was asked to stop; the same call goes on where it was."""


@dataclass(frozen=True)
class Task:
    """A run of an experiment, and what is to be measured of it."""

    name: str
    """What its folder and its recipe are called: claim and variant of the first claim that wants it."""
    run: Run
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Now:
    """Where the runner is, for live progress."""

    name: str
    done: int
    """Runs that are finished."""
    runs: int
    status: Status | None = None
    """Of the run that is under way, where there is one at a time."""
    record: dict[str, Any] | None = None
    """What was measured of the run that just ended."""


# --- one run ----------------------------------------------------------------------------------------------------------


def decisive(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that decide the outcome of a run, its seed apart."""
    defaults = {field.name: field.default for field in fields(Recipe)}
    defaults |= {f"network.{field.name}": field.default for field in fields(Network)}
    left_out = {*NO_MATTER, "seed"}
    if recipe.precision == "auto" and low_precision("auto", pick()):
        recipe = replace(recipe, precision="bf16")  # which it is; before there was this, "auto" was float32 on a CPU
    # The first results had one word for the numbers of §3.3, and one for those of §3.4.
    values = {name: value for name, value in flatten(recipe).items() if not name.startswith(WORDS)}
    values |= {
        "network.normalization": recipe.network.normalization_name,
        "network.pooling": str(recipe.network.pooling),
    }
    return {
        name: value
        for name, value in values.items()
        if name not in left_out and not (name in SINCE and value == defaults[name])
    }


def key(run: Run, prepared: Prepared) -> str:
    """Eight letters that stand for everything that decides the outcome of a run, its seed apart."""
    mean = hashlib.sha256(prepared.mean.tobytes()).hexdigest()
    decides = [decisive(run.recipe), run.until, prepared.classes, prepared.size, mean]
    if run.start:  # its own key and seed, whatever it is called
        decides.append("-".join(run.start.name.split("-")[-2:]))
    text = json.dumps(decides, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def folder(task: Task, prepared: Prepared, out: Path) -> Path:
    """The run folder of a task, under whatever name another claim gave it."""
    return _folder(out, task.name, f"-{key(task.run, prepared)}-seed{task.run.recipe.seed}")


def _folder(out: Path, name: str, ending: str) -> Path:
    there = sorted(out.glob(f"*{ending}"))
    return there[0] if there else out / (re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") + ending)


def images_of(prepared: Prepared) -> dict[str, int]:
    """How many images each split has."""
    return {name: part["images"] for name, part in prepared.manifest["splits"].items()}


def measured(path: Path, prepared: Prepared) -> dict[str, Any] | None:
    """What is kept of a finished run; None if it is not finished, or the file is damaged: then the run is asked again.

    Raises InputError if it was measured on other splits: the key knows the training images only.
    """
    try:
        record = read_json(path / MEASURED)
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(record, dict) and {*KEPT, "machine"} <= record.keys()
    if not whole:
        return None
    if record.get("images", images_of(prepared)) != images_of(prepared):
        raise InputError(
            f"--out: {path} was measured on other splits, {record['images']}; use another --out for this data"
        )
    return dict(record)


def perform(
    task: Task,
    prepared: Prepared,
    path: Path,
    progress: Callable[[Status], None] = lambda status: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train, if it is not yet, and measure, what is not yet: the run's record, also in PATH/measured.json.

    A run whose loss becomes NaN counts as one that guesses, and says so ("diverged"). Raises Stopped, with a checkpoint
    written, once `stop` says so.
    """
    record = measured(path, prepared)
    if record is None:
        record = _train(task, prepared, path, progress, stop)
        write_text(path / MEASURED, json.dumps(record, indent=1) + "\n")
    missing = _missing(task, record)
    if missing and checkpoint.latest(path) is None:  # a result brought the record, and no weights to measure
        forget(path)
        return perform(task, prepared, path, progress, stop)
    if missing:
        begun = time.monotonic()
        network = trained.load(path, pick(task.run.recipe.device))
        for measure in missing:
            record["values"] |= measure(network, prepared, record["values"])
            record["measures"].append(measure.__name__)
        record["seconds"] += time.monotonic() - begun
        write_text(path / MEASURED, json.dumps(record, indent=1) + "\n")
    return record


def _missing(task: Task, record: dict[str, Any]) -> list[Measure]:
    """What is wanted of a task and not in its record; of a run that diverged nothing is."""
    if record["diverged"]:
        return []
    return [measure for measure in task.measures if measure.__name__ not in record["measures"]]


def forget(path: Path) -> None:
    """Remove a run folder. Raises InputError if another runner is at work in it."""
    with only_writer(path, "alexnet claims run"):
        shutil.rmtree(path)


def _train(
    task: Task, prepared: Prepared, path: Path, progress: Callable[[Status], None], stop: Callable[[], bool]
) -> dict[str, Any]:
    target, asked, code = task.run.until, False, provenance.commit()
    if task.run.start and _diverged(task.run.start):  # nothing to begin with
        path.mkdir(parents=True, exist_ok=True)
        return _guesser(task, prepared, path, code)
    last = checkpoint.latest(path) if (path / "recipe.json").is_file() else None
    begun = last is not None
    if path.exists() and not begun:
        forget(path)  # killed before its first checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    # Lines of after the last checkpoint are of epochs that a kill took the weights of: they are done again.
    kept = [line for line in _epochs(path) if last and checkpoint.name_of(line["step"]) <= last.name]
    reached = target is not None and any(line["train_error"] <= target for line in kept)

    def watch(status: Status) -> None:
        nonlocal reached
        reached = reached or (target is not None and status.ended and status.error <= target)
        progress(status)

    def stopping() -> bool:
        nonlocal asked
        asked = asked or stop()
        return asked or reached

    recipe = replace(task.run.recipe, name=task.name, keep=1)
    start = checkpoint.weights(checkpoint.newest(task.run.start)) if task.run.start and not begun else None
    try:
        finished = reached
        if not finished:
            finished = trainer.train(recipe, prepared, path, begun, start, watch, stopping).finished
    except RunFailed as failure:
        if "NaN" not in str(failure) and "the loss became" not in str(failure):
            raise
        return _guesser(task, prepared, path, code)
    if not finished and not reached:
        raise Stopped
    lines = _epochs(path)
    values = {"train_error": lines[-1]["train_error"], "train_loss": lines[-1]["loss"], "epochs": float(len(lines))}
    if "validation_top1" in lines[-1]:
        values |= {"top1": lines[-1]["validation_top1"], "top5": lines[-1]["validation_top5"]}
    if target is not None:
        found = epochs_to(target, [(line["epoch"], line["train_error"]) for line in lines])
        values |= {
            "epochs_to_target": values["epochs"] if found is None else found,
            "reached": float(found is not None),
        }
    return _record(path, prepared, values, code)


def guess(classes: int) -> Measured:
    """top1 and top5: errors in % of a network that guesses."""
    return {"top1": 100 * (1 - 1 / classes), "top5": max(0.0, 100 * (1 - 5 / classes))}


def _guesser(task: Task, prepared: Prepared, path: Path, code: str) -> dict[str, Any]:
    """The record of a run whose loss became NaN: it would have guessed to the end.

    How far it overfits is not said: it has learned nothing to overfit with.
    """
    values = guess(len(prepared.classes))
    values |= {"train_error": values["top1"], "epochs": float(task.run.recipe.epochs)}
    if task.run.until is not None:
        values |= {"epochs_to_target": values["epochs"], "reached": 0.0}
    return _record(path, prepared, values, code, diverged=True)


def _diverged(path: Path) -> bool:
    """Whether a run, of whatever data, is measured and diverged."""
    try:
        return bool(read_json(path / MEASURED)["diverged"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return False


def _epochs(path: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(path) if line["kind"] == "epoch"]


def epochs_to(target: float, points: Sequence[tuple[int, float]]) -> float | None:
    """Epochs until an error reaches `target`, from points (epoch, error in %) joined by straight lines that start from
    100% at 0; None if it does not."""
    before = (0, 100.0)
    for point in points:
        if point[1] <= target:
            share = (before[1] - target) / (before[1] - point[1]) if before[1] > point[1] else 0.0
            return before[0] + share * (point[0] - before[0])
        before = point
    return None


def _record(path: Path, prepared: Prepared, values: Measured, code: str, diverged: bool = False) -> dict[str, Any]:
    lines = _epochs(path)
    return {
        "images": images_of(prepared),
        "values": values,
        "diverged": diverged,
        "measures": [],
        "training": [round(line["train_error"], 2) for line in lines],
        "validation": [
            [line["epoch"], round(line["validation_top1"], 2)] for line in lines if "validation_top1" in line
        ],
        "seconds": sum(line["seconds"] for line in lines),
        "commit": code,
        "machine": provenance.machine(),
    }


# --- many runs --------------------------------------------------------------------------------------------------------


def variants(claim: Claim, scale: Scale) -> dict[str, Run]:
    """The runs of a claim at a scale by the names of its variants, seeds and searched rates apart."""
    base = base_of(claim, scale)
    made = {}
    for name, change in claim.variants:
        recipe = change(base)
        if claim.stops:
            search = search_of(claim, scale)
            recipe = replace(recipe, epochs=scale.most_epochs if search is scale.search else search.epochs)
        made[name] = Run(recipe, scale.target if claim.stops else None)
    return made


def base_of(claim: Claim, scale: Scale) -> Recipe:
    """The recipe that a claim changes; InputError if the scale has none for it."""
    if scale.name not in claim.scales or not claim.variants:
        by_another = f"none: alexnet {claim.result} measures it" if claim.result else "none: it has no experiment yet"
        there = ", ".join(claim.scales) if claim.variants else by_another
        raise InputError(f"--scale {scale.name}: the scales of claim {claim.id} are {there}")
    return scale.four_layer if claim.four_layer and scale.four_layer else scale.recipe


def search_tasks(claim: Claim, scale: Scale) -> dict[str, list[Task]]:
    """The short runs that find each variant's rate."""
    search = search_of(claim, scale)
    return {
        name: [
            Task(
                f"{claim.id} {name} rate {rate:g}",
                Run(
                    replace(run.recipe, rate=rate, epochs=search.epochs, seed=search.seed),
                    run.until if search.by == "epochs_to_target" else None,
                ),
                (),
            )
            for rate in search.rates_of(name)
        ]
        for name, run in variants(claim, scale).items()
        if claim.search
    }


def tasks(claim: Claim, scale: Scale, rates: dict[str, float], seeds: Sequence[int]) -> dict[str, list[Task]]:
    """The runs of every variant, one a seed; `rates`: what the search found, by variant."""
    made = {}
    for name, run in variants(claim, scale).items():
        recipe = replace(run.recipe, rate=rates.get(name, run.recipe.rate))
        made[name] = [
            Task(
                f"{claim.id} {name}",
                replace(run, recipe=replace(recipe, seed=seed)),
                claim.measures,
            )
            for seed in seeds
        ]
    return made


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
) -> list[Result]:
    """Run what is left of these claims at a scale, and write RESULTS/SCALE/ID.json for each; returns those results.

    out: where the run folders are. seeds: in turn, every claim's first before any claim's second, so that whatever there is
    after a while can be compared. jobs: runs at a time, each a process with its share of the threads. `options` (those of the
    command that matter) and `note` (what the data is) go into the results. Raises Stopped once `stop` says so; the same call
    then goes on. Raises InputError for a claim that the scale does not have, and for data that does not fit it.
    """
    claims = [at(claim, scale) for claim in claims]
    for claim in claims:
        needed = base_of(claim, scale).image_size
        if prepared.size < needed:
            raise InputError(
                f"{prepared.path}: its images are {prepared.size}×{prepared.size}; scale {scale.name} takes {scale.data}"
            )
    (out / scale.name).mkdir(parents=True, exist_ok=True)
    (results / scale.name).mkdir(parents=True, exist_ok=True)
    restore(results, scale, prepared, out)
    runner = Runner(scale, prepared, out, jobs, progress, stop)
    searches = {claim.id: search_tasks(claim, scale) for claim in claims}
    runner.all_of([task for search in searches.values() for trials in search.values() for task in trials])
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        id: {name: [runner.trial(id, task) for task in trials] for name, trials in search.items()}
        for id, search in searches.items()
    }
    rates = {
        claim.id: {name: search_of(claim, scale).best(trials) for name, trials in found[claim.id].items()}
        for claim in claims
    }
    wanted = {claim.id: tasks(claim, scale, rates[claim.id], seeds) for claim in claims}
    in_turn = [variant[at] for at in range(len(seeds)) for claim in wanted.values() for variant in claim.values()]
    runner.all_of(in_turn, lambda: [runner.write(c, wanted[c.id], found[c.id], results, options, note) for c in claims])
    return [runner.write(claim, wanted[claim.id], found[claim.id], results, options, note) for claim in claims]


def restore(results: Path, scale: Scale, prepared: Prepared, out: Path) -> int:
    """Make the runs that only result files know finished ones again: OUT/SCALE/.../measured.json, without weights. How many.

    So experiments go on on another machine with nothing but RESULTS brought along. Runs on other data are left out, those of
    older results, which do not name their keys, and those that are under way here. A measure that such a run lacks trains it
    anew.
    """
    known: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted((results / scale.name).glob("*.json")):
        try:
            for ending, what, record in _records(load(path), prepared):
                known[ending] = (what, joined(known[ending][1], record) if ending in known else record)
        except (AttributeError, InputError, LookupError, TypeError):  # not ours, or damaged: its runs are done again
            continue
    made = 0
    for ending, (what, record) in known.items():
        path = _folder(out / scale.name, what, ending)
        # Of a run that is under way the weights are there, but not those that were measured.
        if not (path / MEASURED).exists() and checkpoint.latest(path) is None:
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / MEASURED, json.dumps(record, indent=1) + "\n")
            made += 1
    return made


def _records(result: Result, prepared: Prepared) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(how its folder's name ends, what it is called, its record) of every run that a result knows; none of other data."""
    if result.data["images"] != images_of(prepared):
        return
    about = {"images": result.data["images"], "machine": result.machine}
    for name, variant in result.variants.items():
        for run in variant["runs"]:
            if "key" in variant and {*KEPT} <= run.keys():
                kept = {what: run[what] for what in (*KEPT, "machine") if what in run}
                yield f"-{variant['key']}-seed{run['seed']}", f"{result.claim} {name}", about | kept
    for name, trials in result.search.items():
        for trial in trials:
            if "key" in trial:
                kept = {what: trial[what] for what in ("values", "diverged", "seconds", "commit")}
                kept |= {"training": [], "validation": [], "measures": []}
                what = f"{result.claim} {name} rate {trial['rate']:g}"
                yield f"-{trial['key']}-seed{trial['seed']}", what, about | kept


class Runner:
    """What the runs of one call on one dataset share."""

    def __init__(
        self,
        scale: Scale,
        prepared: Prepared,
        out: Path,
        jobs: int,
        progress: Callable[[Now], None],
        stop: Callable[[], bool],
    ) -> None:
        self.scale, self.prepared, self.out, self.jobs = scale, prepared, out / scale.name, jobs
        self.progress, self.stop = progress, stop
        self.searched: dict[str, list[dict[str, Any]]] = {}
        """The records of the runs that found rates, by claim."""

    def path(self, task: Task) -> Path:
        """The run folder of a task."""
        return folder(task, self.prepared, self.out)

    def all_of(self, wanted: Sequence[Task], after_each: Callable[[], Any] = lambda: None) -> None:
        """Perform each task once, with all that is to be measured of it."""
        once: dict[Path, Task] = {}
        for task in wanted:
            path = self.out / f"{key(task.run, self.prepared)}-{task.run.recipe.seed}"
            before = once.get(path, task)
            once[path] = replace(before, measures=tuple(dict.fromkeys((*before.measures, *task.measures))))
        left = [task for task in once.values() if not self.is_done(task)]
        done = len(once) - len(left)
        performed = self._in_processes(left) if self.jobs > 1 and len(left) > 1 else self._here(left, done, len(once))
        for task, record in performed:
            done += 1
            self.progress(Now(task.name, done, len(once), record=record))
            after_each()

    def is_done(self, task: Task) -> bool:
        """Whether a task is performed, and all that is wanted of it measured."""
        record = measured(self.path(task), self.prepared)
        return record is not None and not _missing(task, record)

    def _here(self, left: Sequence[Task], done: int, runs: int) -> Iterator[tuple[Task, dict[str, Any]]]:
        for number, task in enumerate(left):
            if self.stop():
                raise Stopped

            def show(status: Status, task: Task = task, number: int = number) -> None:
                self.progress(Now(task.name, done + number, runs, status))

            yield task, perform(task, self.prepared, self.path(task), show, self.stop)

    def _in_processes(self, left: Sequence[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
        # Spawned, not forked: torch's threads do not survive a fork.
        context = get_context("spawn")
        stopping = context.Event()
        threads = max(1, torch.get_num_threads() // self.jobs)
        with ProcessPoolExecutor(self.jobs, context, _begin_worker, (threads, stopping)) as pool:
            waiting: dict[Future[dict[str, Any]], Task] = {
                pool.submit(_work, task, self.prepared.path, self.path(task)): task for task in left
            }
            try:
                while waiting:
                    ended, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        yield waiting.pop(future), future.result()
                    if self.stop():
                        raise Stopped
            except BrokenProcessPool:
                raise RunFailed(
                    "a process with a run was killed, perhaps for want of memory; the same command goes on where it was,"
                    " fewer --jobs need less"
                ) from None
            finally:
                stopping.set()  # those under way write a checkpoint and end
                pool.shutdown(cancel_futures=True)

    def trial(self, claim: str, task: Task) -> dict[str, Any]:
        """What a result keeps of a search run of a claim."""
        record = measured(self.path(task), self.prepared)
        assert record is not None
        self.searched.setdefault(claim, []).append(record)
        return {
            "rate": task.run.recipe.rate,
            "train_error": record["values"]["train_error"],
            "key": key(task.run, self.prepared),
            "seed": task.run.recipe.seed,
            **{what: record[what] for what in ("values", "diverged", "seconds", "commit")},
        }

    def _finished(self, of_seeds: Sequence[Task]) -> dict[int, dict[str, Any]]:
        """The records of a variant's finished runs by seed, those of earlier calls with other seeds too."""
        start = f"-{key(of_seeds[0].run, self.prepared)}-seed"
        paths = {int(path.name.rpartition("-seed")[2]): path for path in self.out.glob(f"*{start}*")}
        found = {seed: measured(path, self.prepared) for seed, path in sorted(paths.items())}
        return {seed: record for seed, record in found.items() if record is not None}

    def _kept(self, record: dict[str, Any], epochs: int, machine: dict[str, Any]) -> dict[str, Any]:
        """What a result keeps of a run's record, and how soon it reached the scale's validation error; its machine where
        that is another than the result's."""
        found = epochs_to(self.scale.validation_target, record["validation"])
        times = {
            "epochs_to_validation": record["values"].get("epochs", float(epochs)) if found is None else found,
            "reached_validation": float(found is not None),
        }
        elsewhere = {} if record["machine"] == machine else {"machine": record["machine"]}
        return {**{what: record[what] for what in KEPT}, **elsewhere, "values": {**record["values"], **times}}

    def write(
        self,
        claim: Claim,
        wanted: dict[str, list[Task]],
        search: dict[str, list[dict[str, Any]]],
        results: Path,
        options: str,
        note: str,
    ) -> Result:
        """The result of a claim from the runs that are finished by now, and those that only its file has; also as that file,
        unless it has more runs, of other data or another recipe."""
        base = base_of(claim, self.scale)
        finished = {name: self._finished(of_seeds) for name, of_seeds in wanted.items()}
        records = [record for done in finished.values() for record in done.values()]
        machine = records[0]["machine"] if records else {}
        made = {
            name: {
                "changes": differences(of_seeds[0].run.recipe, base),
                "key": key(of_seeds[0].run, self.prepared),
                "runs": [
                    {"seed": seed, **self._kept(record, of_seeds[0].run.recipe.epochs, machine)}
                    for seed, record in finished[name].items()
                ],
            }
            for name, of_seeds in wanted.items()
        }
        all_of_it = records + self.searched.get(claim.id, [])
        result = Result(
            claim=claim.id,
            scale=self.scale.name,
            command=f"alexnet claims run {shlex.quote(claim.id)} {options}".rstrip(),
            data={
                "source": self.prepared.manifest["source"]["description"],
                "note": note,
                "size": self.prepared.size,
                "classes": len(self.prepared.classes),
                "images": images_of(self.prepared),
            },
            recipe=asdict(base),
            variants=made,
            search=search,
            target=self.scale.target if claim.stops else None,
            validation_target=self.scale.validation_target,
            machine=machine,
            commits=sorted({record["commit"] for record in all_of_it}),
            seconds=round(sum(record["seconds"] for record in all_of_it), 1),
        )
        path = results / self.scale.name / f"{claim.id}.json"
        there = 0
        with suppress(AttributeError, LookupError, TypeError, ValueError):  # there is none, or a damaged one
            before = load(path)
            there = before.runs()
            result = merged(result, before)
        if records and result.runs() >= there:
            result.save(results)
        return result


def runs_in(path: Path) -> int:
    """How many runs a result file has; 0 if there is none, or it is none."""
    try:
        return load(path).runs()
    except InputError:
        return 0


def differences(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """The fields in which `recipe` differs from `base`, seed and names apart: {"network.normalization": "none"}."""
    own, other = flatten(recipe), flatten(base)
    names = [name for name in own if name not in ("seed", "name", "network.name")]
    changed = {name: own[name] for name in names if own[name] != other.get(name, ...)}
    gone = [name for name in other if name not in own and name.endswith(".then")]  # one field of each row that went
    return {**changed, **{name.removesuffix(".then"): None for name in gone}}


_process: dict[str, Any] = {}
"""What a worker process was begun with."""


def _begin_worker(threads: int, stopping: Any) -> None:
    _process["stopping"] = stopping
    keep_memory()
    torch.set_num_threads(threads)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # the parent hears them and says when to stop
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent is killed: it would wait for work for ever, and hold the folder of its run."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(task: Task, data: Path, path: Path) -> dict[str, Any]:
    return perform(task, prepared_sets.open(data), path, stop=_process["stopping"].is_set)
