"""Table 2 of the paper as one chain: networks, networks averaged, and networks pre-trained on other images (§6).

A repeat is seven networks on the target images, each with a seed of its own:

1 CNN      five networks from nothing; their mean error
5 CNNs     the five averaged
1 CNN*     two networks with a sixth convolution, pre-trained on other images, then fine-tuned; their mean error
7 CNNs*    the two and the five averaged

Every network is a run folder under OUT/SCALE, found again by a hash of what decides it, as those of `alexnet claims run`.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.claims import ledger, runner
from alexnet.claims import results as results_
from alexnet.claims.claim import Run, Scale
from alexnet.claims.claims import claims
from alexnet.claims.ledger import Table
from alexnet.claims.measures import Measured
from alexnet.claims.plan import WHOLE, Plan, Planned
from alexnet.claims.results import Result
from alexnet.claims.runner import Now, Runner, Task
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import ensemble, kept
from alexnet.network.summary import summarize
from alexnet.training import recipe
from alexnet.training.recipe import Recipe, recipes
from alexnet.training.trained import TrainedNetwork
from alexnet.training.trainer import training_of, validation_of

ID = "table2"
"""What the result file is called. The ledger shows it in the rows `ROWS`."""

PLAIN, STARRED = 5, 2
"""Networks from nothing, and pre-trained ones, of a repeat (Table 2)."""

ROWS = {
    "one net": ("1 CNN", 40.7, 18.2),
    "five nets": ("5 CNNs", 38.1, 16.4),
    "one net*": ("1 CNN*", 39.0, 16.6),
    "seven nets*": ("7 CNNs*", 36.7, 15.4),
}
"""Variant, which is a claim's id too -> its name in the paper's table, top-1 and top-5 error on ILSVRC-2012 validation."""

SECOND_BEST = 26.2
"""Top-5 error in % of the second-best entry to ILSVRC-2012, on the test images (Table 2 gives it; SIFT + FVs)."""


@dataclass(frozen=True)
class Chain:
    """The recipes of the three kinds of runs."""

    plain: Recipe
    pretraining: Recipe
    fine_tuning: Recipe


def chain(scale: Scale, classes: int, epochs: int | None = None, pretrain_epochs: int | None = None) -> Chain:
    """The recipes at a scale; `classes`: of the images that networks are pre-trained on.

    Pre-training adds the sixth convolution, and a bottleneck of half the last hidden layer's units where there are more
    classes than that (2012: 2048 before 21,843). Fine-tuning replaces the last layer, and the bottleneck with it. At scale
    imagenet it is the recipe "finetune", 54 epochs to 90. Its tenth of the rate is made for hundreds of thousands of updates;
    in the hundreds of the smaller scales it gets nowhere, so there everything but the initial weights is as from nothing.
    """
    plain = replace(scale.recipe, epochs=epochs or scale.recipe.epochs)
    narrow = plain.network.hidden[-1].units // 2
    network = replace(plain.network, conv6=True, bottleneck=narrow if classes > narrow else 0)
    pretraining = replace(plain, network=network, epochs=pretrain_epochs or plain.epochs)
    fine_tuning = replace(plain, network=replace(network, bottleneck=0))
    if scale.name == "imagenet":
        how = recipes["finetune"]
        fine_tuning = replace(
            fine_tuning,
            epochs=max(1, round(plain.epochs * how.epochs / recipes["paper"].epochs)),
            rate=how.rate,
            first_rate=how.first_rate,
            last_rate=how.last_rate,
            last_rate_after=how.last_rate_after,
            schedule=how.schedule,
        )
    return Chain(plain, pretraining, fine_tuning)


def seeds(repeat: int) -> tuple[range, range]:
    """The seeds of a repeat's networks: from nothing, and pre-trained."""
    first = 10 * repeat
    return range(first, first + PLAIN), range(first + PLAIN, first + PLAIN + STARRED)


def keeps_predictions(network: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """ten_top1, ten_top5: validation error with ten crops in %. Class probabilities of ten crops and of one are kept in the
    run folder, where `errors_of` finds them."""
    judged = kept.of_split(network.recipe, prepared)
    assert judged.labels is not None
    device, classes = network.preparation.mean.device, prepared.classes
    found = {views: kept.probabilities(network.path, judged, views, device=device) for views in (1, 10)}
    ten = ensemble.measure(found[10], judged.labels, classes, 10)
    return {"ten_top1": ten.top1_error, "ten_top5": ten.top5_error}


def errors_of(paths: Sequence[Path], prepared: Prepared) -> Measured:
    """Errors in % of runs averaged, on the images that validate them: top1 and top5 of the centre crop, ten_top1 and ten_top5
    of ten. With five classes or fewer there is no top-5 error: every answer is among the first five. No runs: of guessing."""
    if not paths:
        guess = runner.guess(len(prepared.classes))
        return {f"{crops}{name}": guess[name] for crops in ("", "ten_") for name in _named(prepared)}
    judged = kept.of_split(recipe.read(paths[0]), prepared)
    assert judged.labels is not None
    made: Measured = {}
    for views, prefix in ((1, ""), (10, "ten_")):
        probabilities: list[np.ndarray] = [kept.probabilities(path, judged, views) for path in paths]
        error = ensemble.measure(ensemble.mean(probabilities), judged.labels, prepared.classes, views)
        both = {"top1": error.top1_error, "top5": error.top5_error}
        made |= {f"{prefix}{name}": both[name] for name in _named(prepared)}
    return made


def _named(prepared: Prepared) -> tuple[str, ...]:
    return ("top1", "top5") if len(prepared.classes) > 5 else ("top1",)


# --- the runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repeat:
    """The tasks of one repeat."""

    number: int
    plain: list[Task]
    pretraining: list[Task]
    fine_tuning: list[Task]


def tasks(kinds: Chain, repeat: int, pretrain: Runner) -> Repeat:
    """The runs of a repeat; those that are fine-tuned start from the run folders that `pretrain` has for their seeds."""
    plain, starred = seeds(repeat)
    first = [Task("table2 pretraining", Run(replace(kinds.pretraining, seed=seed)), ()) for seed in starred]
    measures = (keeps_predictions,)
    return Repeat(
        repeat,
        [Task("table2 cnn", Run(replace(kinds.plain, seed=seed)), measures) for seed in plain],
        first,
        [
            Task("table2 cnn star", Run(replace(kinds.fine_tuning, seed=seed), start=pretrain.path(before)), measures)
            for seed, before in zip(starred, first, strict=True)
        ],
    )


def run(
    scale: Scale,
    prepared: Prepared,
    pretraining: Prepared,
    out: Path,
    results: Path,
    repeats: int = 3,
    jobs: int = 1,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    options: str = "",
    note: str = "",
    progress: Callable[[Now], None] = lambda now: None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Run what is left of the chain, `repeats` times, and write RESULTS/SCALE/table2.json after every repeat.

    prepared: what the networks are measured on; pretraining: other images. Both at the scale's size or larger. jobs: runs at
    a time. `options` and `note` go into the result. Raises runner.Stopped, after which the same call goes on; InputError
    for data that does not fit the scale.
    """
    for each in (prepared, pretraining):
        if each.size < scale.recipe.image_size:
            raise InputError(
                f"{each.path}: its images are {each.size}×{each.size}; scale {scale.name} takes"
                f" {scale.recipe.image_size}×{scale.recipe.image_size} or larger"
            )
    (out / scale.name).mkdir(parents=True, exist_ok=True)
    kinds = chain(scale, len(pretraining.classes), epochs, pretrain_epochs)
    before = Runner(scale, pretraining, out, jobs, progress, stop)
    main = Runner(scale, prepared, out, jobs, progress, stop)
    all_tasks = [tasks(kinds, repeat, before) for repeat in range(repeats)]
    before.all_of([task for each in all_tasks for task in each.pretraining])
    done: dict[int, dict[str, dict[str, Any]]] = {}

    def write() -> Result:
        for each in all_tasks:
            if each.number not in done and all(main.is_done(task) for task in (*each.plain, *each.fine_tuning)):
                done[each.number] = _entries(each, before, main)
        first = runner.measured(main.path(all_tasks[0].plain[0]), prepared)
        machine = first["machine"] if first else {}
        return _write(kinds, scale, prepared, pretraining, done, machine, results, options, note)

    main.all_of([task for each in all_tasks for task in (*each.plain, *each.fine_tuning)], write)
    return write()


def _entries(of: Repeat, before: Runner, main: Runner) -> dict[str, dict[str, Any]]:
    """What a repeat gave, by variant. A network that diverged, or whose pre-training did, guesses: every class is as likely,
    so it changes no order of classes in a mean of probabilities, and is left out of it."""
    plain, starred = ([_network(task, main) for task in group] for group in (of.plain, of.fine_tuning))
    first = [_network(task, before) for task in of.pretraining]
    for own, network in zip(starred, first, strict=True):
        own["pretraining"] = network

    rests_on = {"one net": plain, "five nets": plain, "one net*": [*starred, *first]}
    rests_on["seven nets*"] = [*plain, *starred, *first]
    diverged = {name: any(network["diverged"] for network in group) for name, group in rests_on.items()}

    def entry(name: str, values: Measured, networks: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        return {
            "seed": of.number,
            "values": values,
            "diverged": diverged[name],
            "training": [],
            "validation": [],
            "seconds": seconds,
            "networks": networks,
        }

    def single(networks: list[dict[str, Any]], tasks_: list[Task]) -> Measured:
        each = [together([task]) for task in tasks_]
        for network, errors in zip(networks, each, strict=True):
            network["values"] |= errors
        made = {name: statistics.fmean(errors[name] for errors in each) for name in each[0]}
        return {**made, "train_error": statistics.fmean(network["values"]["train_error"] for network in networks)}

    def together(tasks_: list[Task]) -> Measured:
        own = [*zip(of.plain, plain, strict=True), *zip(of.fine_tuning, starred, strict=True)]
        paths = [main.path(task) for task, network in own if task in tasks_ and not network["diverged"]]
        return errors_of(paths, main.prepared)

    times = [sum(network["seconds"] for network in group) for group in (plain, [*starred, *first])]
    return {
        name: entry(name, values, networks, seconds)
        for name, values, networks, seconds in (
            ("one net", single(plain, of.plain), plain, times[0]),
            ("five nets", together(of.plain), [], 0.0),
            ("one net*", single(starred, of.fine_tuning), starred, times[1]),
            ("seven nets*", together([*of.plain, *of.fine_tuning]), [], 0.0),
        )
    }


def _network(task: Task, of: Runner) -> dict[str, Any]:
    record = runner.measured(of.path(task), of.prepared)
    assert record is not None
    own = {name: record[name] for name in ("values", "diverged", "training", "validation", "seconds", "commit")}
    return {"seed": task.run.recipe.seed, **own}


def _write(
    kinds: Chain,
    scale: Scale,
    prepared: Prepared,
    pretraining: Prepared,
    done: dict[int, dict[str, dict[str, Any]]],
    machine: dict[str, Any],
    results: Path,
    options: str,
    note: str,
) -> Result:
    """The result of the repeats that are done, also as a file, unless that has more repeats already."""
    entries = {name: [done[repeat][name] for repeat in sorted(done)] for name in ROWS}
    networks = [network for name in ROWS for each in entries[name] for network in each["networks"]]
    networks += [network["pretraining"] for network in networks if "pretraining" in network]
    commits = sorted({network["commit"] for network in networks})
    changed = runner.differences(kinds.fine_tuning, kinds.plain)
    changed |= {f"pre-training.{k}": v for k, v in runner.differences(kinds.pretraining, kinds.plain).items()}
    result = Result(
        claim=ID,
        scale=scale.name,
        command=f"alexnet table2 {options}".rstrip(),
        data={**_facts(prepared), "note": note, "pretraining": _facts(pretraining)},
        recipe=asdict(kinds.plain),
        variants={name: {"changes": changed if name == "one net*" else {}, "runs": entries[name]} for name in ROWS},
        search={},
        target=None,
        validation_target=scale.validation_target,
        machine=machine,
        commits=commits,
        seconds=round(sum(network["seconds"] for network in networks), 1),
    )
    path = results / scale.name / f"{ID}.json"
    if done and 4 * len(done) >= runner.runs_in(path):
        result.save(results)
    return result


def _facts(prepared: Prepared) -> dict[str, Any]:
    return {
        "source": prepared.manifest["source"]["description"],
        "size": prepared.size,
        "classes": len(prepared.classes),
        "images": runner.images_of(prepared),
    }


def plan(
    scale: Scale,
    prepared: Prepared | None,
    pretraining: Prepared | None,
    out: Path,
    repeats: int = 3,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
) -> Plan:
    """The runs that `run` would do with these arguments, what is there, and what they cost; nothing is started.

    Without data the numbers of images are those of the scale's, for pre-training too.
    """
    kinds = chain(scale, len(pretraining.classes) if pretraining else WHOLE[scale.name][2], epochs, pretrain_epochs)
    rows, known = [], prepared is not None and pretraining is not None
    made: list[Repeat] = []
    if prepared and pretraining:
        before, main = (
            Runner(scale, each, out, 1, lambda now: None, lambda: False) for each in (pretraining, prepared)
        )
        made = [tasks(kinds, repeat, before) for repeat in range(repeats)]
    for name, of_kind, data, number in (
        ("pre-training with conv6", kinds.pretraining, pretraining, STARRED),
        ("from nothing", kinds.plain, prepared, PLAIN),
        ("fine-tuning", kinds.fine_tuning, prepared, STARRED),
    ):
        if data:
            training, validation = len(training_of(of_kind, data)[1]), len(validation_of(of_kind, data)[1])
            classes = len(data.classes)
        else:
            training, validation, classes = WHOLE[scale.name]
        ended = 0
        for each in made:
            group = {"from nothing": each.plain, "fine-tuning": each.fine_tuning}.get(name, each.pretraining)
            of = before if group is each.pretraining else main
            ended += sum(of.is_done(task) for task in group)
        rows.append(
            Planned(
                name=name,
                claims=tuple(ROWS)[:2] if name == "from nothing" else tuple(ROWS)[2:],
                search=False,
                epochs=of_kind.epochs,
                at_most=False,
                runs=number * repeats,
                done=ended,
                images=of_kind.epochs * training,
                measured=-(-of_kind.epochs // of_kind.validate_every) * validation,
                multiply_adds=summarize(replace(of_kind.network, classes=classes)).multiply_adds,
            )
        )
    what = [
        each.manifest["source"]["description"] if each else other
        for each, other in ((prepared, scale.data), (pretraining, "other images, counted as if they were as many"))
    ]
    return Plan(scale.name, f"{what[0]}; pre-training: {what[1]}", known, repeats, tuple(rows))


# --- the table --------------------------------------------------------------------------------------------------------


def tables(result: Result) -> list[Table]:
    """The paper's table beside what was measured, and the differences between its rows."""
    repeats = len(result.variants["one net"]["runs"])
    cells = [("second-best entry", "", "", f"{SECOND_BEST}", "")]
    for variant, (name, *paper) in ROWS.items():
        own = [_spread(result.values(variant, measure)) for measure in ("ten_top1", "ten_top5")]
        cells.append((name, f"{paper[0]}", own[0], f"{paper[1]}", own[1]))
    confidence = f"{100 * results_.CONFIDENCE:.0f}%"
    headings = ("", "top-1, paper", f"here ({confidence} interval)", "top-5, paper", f"here ({confidence} interval)")
    title = f"Table 2: error in %, ten crops. Paper: ILSVRC-2012. Here: {_data(result)}; {repeats} repeat{'s' * (repeats != 1)}"
    rows = []
    for variant in ROWS:
        compared = claims[variant].comparisons
        outcomes = [results_.outcome(result, comparison) for comparison in compared]
        for comparison, one in zip(compared, outcomes, strict=True):
            if one is not None:
                names = " − ".join(ROWS[side][0] for side in (comparison.of, comparison.against) if side)
                which = "top-5" if comparison.measure.endswith("5") else "top-1"
                rows.append((f"{names}, {which}", ledger.paper(comparison), ledger.measured(one), one.verdict))
    return [
        Table(title, headings, tuple(cells)),
        Table("Differences in points", ("", "paper", f"here ({confidence} interval)", "verdict by rule"), tuple(rows)),
    ]


def _data(result: Result) -> str:
    data, before = result.data, result.data["pretraining"]
    note = f" ({data['note']})" if data["note"] else ""
    return f"{data['source']}, {data['classes']} classes{note}, pre-trained on {before['source']}, {before['classes']} classes"


def _spread(values: Sequence[float]) -> str:
    """Mean and interval: "24.31 (22.90 to 25.72)"; "–" without values."""
    if not values:
        return "–"
    middle, low, high = results_.mean_interval(list(values))
    return f"{middle:.2f}" + ("" if high == float("inf") else f" ({max(0.0, low):.2f} to {high:.2f})")


def to_dict(result: Result) -> dict[str, Any]:
    """The result file with the rows of both tables, for JSON."""
    compared = [each for variant in ROWS for each in claims[variant].comparisons]
    outcomes = [one for each in compared if (one := results_.outcome(result, each)) is not None]
    return {
        **result.__dict__,
        "paper": {name: {"name": row[0], "top1": row[1], "top5": row[2]} for name, row in ROWS.items()},
        "outcomes": [ledger.outcome_to_dict(one) for one in outcomes],
    }


def markdown(result: Result) -> str:
    """Both tables as Markdown, with the command."""
    lines: list[str] = []
    for table in tables(result):
        lines += [f"{table.title}:", ""]
        lines += [
            "| " + " | ".join(row) + " |" for row in (table.headings, ("---",) * len(table.headings), *table.rows)
        ]
        lines += [""]
    return "\n".join([*lines, f"`{result.command}`, commit {', '.join(result.commits)}.", ""])


def smoke_data(out: Path) -> tuple[Path, Path]:
    """The built-in photographs at 32 pixels, seven classes to measure on and the other six to pre-train on, prepared under
    `out` if they are not there."""
    from alexnet.data.builtin import FILES, Photographs
    from alexnet.data.prepare import prepare

    names = tuple(sorted(FILES))
    made = (out / "builtin-target", names[6:]), (out / "builtin-pretraining", names[:6])
    for path, classes in made:
        prepare(Photographs(train_patches=40, test_patches=20, classes=classes), path, size=32)
    return made[0][0], made[1][0]


def open_both(data: Path, pretrain_data: Path) -> tuple[Prepared, Prepared]:
    """Both prepared datasets. InputError if they are one: pre-training is on other images."""
    both = prepared_sets.open(data), prepared_sets.open(pretrain_data)
    if data.resolve() == pretrain_data.resolve():
        raise InputError(f"--pretrain-data {pretrain_data}: the same folder as --data; it has to be other images")
    return both
