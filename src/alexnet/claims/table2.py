"""Table 2 of the paper as one chain: networks, networks averaged, and networks pre-trained on other images (§6).

A repeat is seven networks on the target images, each with a seed of its own:

1 CNN      five networks from nothing; their mean error
5 CNNs     the five averaged
1 CNN*     two networks with a sixth convolution, pre-trained on other images, then fine-tuned; their mean error
7 CNNs*    the two and the five averaged

Every network is a run folder under OUT/SCALE, found again by a hash of what decides it, as those of `alexnet claims run`, which
it shares. Without other images there are the first two rows alone; a later call with them adds the others. A repeat that the
result file has is not done again, whether its run folders are there or not.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims import ledger, runner
from alexnet.claims import results as results_
from alexnet.claims.averages import errors_of, keeps_predictions, named, weighing
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
from alexnet.network.summary import summarize
from alexnet.run import checkpoint
from alexnet.run.images import training_of, validation_of
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import recipes

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

FROM_NOTHING = ("one net", "five nets")
"""The rows that take no pre-training."""

SHOWN = (*ROWS, "2012-weights")
"""The claims whose comparisons the result file has."""

SECOND_BEST = 26.2
"""Top-5 error in % of the second-best entry to ILSVRC-2012, on the test images (Table 2 gives it; SIFT + FVs)."""


@dataclass(frozen=True)
class Chain:
    """The recipes of the three kinds of runs."""

    plain: Recipe
    pretraining: Recipe
    fine_tuning: Recipe


Rows = dict[str, dict[str, Any]]
"""What a repeat gave, by variant."""


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


# --- the runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repeat:
    """The tasks of one repeat."""

    number: int
    plain: list[Task]
    pretraining: list[Task]
    fine_tuning: list[Task]


def tasks(kinds: Chain, repeat: int, pretrain: Runner | None) -> Repeat:
    """The runs of a repeat; those that are fine-tuned start from the run folders that `pretrain` has for their seeds. None:
    there are those from nothing alone."""
    plain, starred = seeds(repeat)
    measures = (keeps_predictions,)
    from_nothing = [Task("table2 cnn", Run(replace(kinds.plain, seed=seed)), measures) for seed in plain]
    if pretrain is None:
        return Repeat(repeat, from_nothing, [], [])
    first = [Task("table2 pretraining", Run(replace(kinds.pretraining, seed=seed)), ()) for seed in starred]
    return Repeat(
        repeat,
        from_nothing,
        first,
        [
            Task("table2 cnn star", Run(replace(kinds.fine_tuning, seed=seed), start=pretrain.path(before)), measures)
            for seed, before in zip(starred, first, strict=True)
        ],
    )


def run(
    scale: Scale,
    prepared: Prepared,
    pretraining: Prepared | None,
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

    prepared: what the networks are measured on; pretraining: other images, or None for the rows from nothing alone. Both at the
    scale's size or larger. jobs: runs at a time. `options` and `note` go into the result. Raises runner.Stopped, after which
    the same call goes on; InputError for data that does not fit the scale.
    """
    for each in (prepared, *((pretraining,) if pretraining else ())):
        if each.size < scale.recipe.image_size:
            raise InputError(
                f"{each.path}: its images are {each.size}×{each.size}; scale {scale.name} takes"
                f" {scale.recipe.image_size}×{scale.recipe.image_size} or larger"
            )
    (out / scale.name).mkdir(parents=True, exist_ok=True)
    kinds = chain(scale, len(pretraining.classes) if pretraining else 0, epochs, pretrain_epochs)
    main = Runner(scale, prepared, out, jobs, progress, stop)
    before = Runner(scale, pretraining, out, jobs, progress, stop) if pretraining else None
    there = _there(results / scale.name / f"{ID}.json", keys(kinds, prepared, pretraining), prepared)
    known = _repeats(there) if there else {}
    wanted = set(ROWS if before else FROM_NOTHING)
    left = [tasks(kinds, repeat, before) for repeat in range(repeats) if not wanted <= known.get(repeat, {}).keys()]
    # Averages of a repeat rest on the same networks: where a row is missing, all of them are made from what is trained now.
    made: dict[int, Rows] = {each.number: {} for each in left}

    def write() -> Result:
        for each in left:
            rows = made[each.number]
            if not rows and all(main.is_done(task) for task in each.plain):
                rows |= _from_nothing(each, main)
            if before and rows and len(rows) < len(ROWS) and all(main.is_done(task) for task in each.fine_tuning):
                rows |= _with_pretraining(each, before, main, rows["one net"]["networks"])
        fuller = {repeat: rows for repeat, rows in made.items() if len(rows) >= len(known.get(repeat, {}))}
        return _write(kinds, main, pretraining, known | fuller, there, results, options, note)

    for each in left:
        for task in (*each.plain, *each.fine_tuning):
            _with_weights(task, main)
    if before:
        for task in [task for each in left for task in each.pretraining]:
            _with_weights(task, before)
        before.all_of([task for each in left for task in each.pretraining])
    main.all_of([task for each in left for task in (*each.plain, *each.fine_tuning)], write)
    return write()


def keys(kinds: Chain, prepared: Prepared, pretraining: Prepared | None) -> dict[str, str]:
    """What stands for everything that decides each row, seeds apart; without other images those of the first two."""
    plain = runner.key(Run(kinds.plain), prepared)
    made = dict.fromkeys(FROM_NOTHING, plain)
    if pretraining:
        starred = f"{runner.key(Run(kinds.pretraining), pretraining)}-{runner.key(Run(kinds.fine_tuning), prepared)}"
        made |= {"one net*": starred, "seven nets*": f"{plain}-{starred}"}
    return made


def _there(path: Path, own: dict[str, str], prepared: Prepared) -> Result | None:
    """What the result file has of the same rows, or None. Rows that are not asked for stay."""
    try:
        found = results_.load(path)
    except InputError:
        return None
    of = found.variants
    if of.get("one net", {}).get("key") != own["one net"] or found.data.get("images") != runner.images_of(prepared):
        return None
    same = {name: variant for name, variant in of.items() if own.get(name, variant.get("key")) == variant.get("key")}
    return replace(found, variants=same)


def _repeats(result: Result) -> dict[int, Rows]:
    made: dict[int, Rows] = {}
    for name, variant in result.variants.items():
        for entry in variant["runs"]:
            made.setdefault(entry["seed"], {})[name] = entry
    return made


def _with_weights(task: Task, of: Runner) -> None:
    """Forget a run of which only the figures are here: predictions and fine-tuning take its weights."""
    path = of.path(task)
    record = runner.measured(path, of.prepared)
    if record and not record["diverged"] and checkpoint.latest(path) is None:
        runner.forget(path)


# A network that diverged, or whose pre-training did, guesses: every class is as likely, so it changes no order of classes in a
# mean of probabilities, and is left out of it.


def _from_nothing(of: Repeat, main: Runner) -> Rows:
    """The rows "one net" and "five nets" of a repeat."""
    networks = [_network(task, main) for task in of.plain]
    paths = _paths(of.plain, networks, main)
    five = errors_of(paths, main.prepared) | weighing(paths, main.prepared)
    return _entries(
        of, {"one net": (_single(of.plain, networks, main), networks, networks), "five nets": (five, [], networks)}
    )


def _with_pretraining(of: Repeat, before: Runner, main: Runner, plain: list[dict[str, Any]]) -> Rows:
    """The rows "one net*" and "seven nets*" of a repeat; `plain`: its networks from nothing."""
    networks = [_network(task, main) for task in of.fine_tuning]
    first = [_network(task, before) for task in of.pretraining]
    for own, network in zip(networks, first, strict=True):
        own["pretraining"] = network
    seven = errors_of([*_paths(of.plain, plain, main), *_paths(of.fine_tuning, networks, main)], main.prepared)
    rests_on = [*networks, *first]
    return _entries(
        of,
        {
            "one net*": (_single(of.fine_tuning, networks, main), networks, rests_on),
            "seven nets*": (seven, [], [*plain, *rests_on]),
        },
    )


def _entries(of: Repeat, rows: dict[str, tuple[Measured, list[dict[str, Any]], list[dict[str, Any]]]]) -> Rows:
    """What the result file has of a repeat, from (values, the networks of the row itself, all that it rests on)."""
    return {
        name: {
            "seed": of.number,
            "values": values,
            "diverged": any(network["diverged"] for network in rests_on),
            "training": [],
            "validation": [],
            "seconds": sum(network["seconds"] for network in rests_on) if networks else 0.0,
            "networks": networks,
        }
        for name, (values, networks, rests_on) in rows.items()
    }


def _paths(tasks_: list[Task], networks: list[dict[str, Any]], main: Runner) -> list[Path]:
    return [main.path(task) for task, network in zip(tasks_, networks, strict=True) if not network["diverged"]]


def _single(tasks_: list[Task], networks: list[dict[str, Any]], main: Runner) -> Measured:
    """The mean errors of networks, each of which gets its own."""
    for task, network in zip(tasks_, networks, strict=True):
        network["values"] |= errors_of(_paths([task], [network], main), main.prepared)
    names = ("train_error", *(f"{crops}{name}" for crops in ("", "ten_") for name in named(main.prepared)))
    return {name: statistics.fmean(network["values"][name] for network in networks) for name in names}


def _network(task: Task, of: Runner) -> dict[str, Any]:
    record = runner.measured(of.path(task), of.prepared)
    assert record is not None
    own = {
        name: record[name] for name in ("values", "diverged", "training", "validation", "seconds", "commit", "machine")
    }
    return {"seed": task.run.recipe.seed, **own}


def _write(
    kinds: Chain,
    main: Runner,
    pretraining: Prepared | None,
    done: dict[int, Rows],
    there: Result | None,
    results: Path,
    options: str,
    note: str,
) -> Result:
    """The result of the rows that are done, also as a file, unless that has more already. there: what it has of them."""
    entries = {name: [rows[name] for _, rows in sorted(done.items()) if name in rows] for name in ROWS}
    networks = [network for name in ROWS for each in entries[name] for network in each["networks"]]
    networks += [network["pretraining"] for network in networks if "pretraining" in network]
    own, changed = keys(kinds, main.prepared, pretraining), runner.differences(kinds.fine_tuning, kinds.plain)
    changed |= {f"pre-training.{k}": v for k, v in runner.differences(kinds.pretraining, kinds.plain).items()}
    made: dict[str, dict[str, Any]] = {}
    for name in ROWS:
        if name in own:
            made[name] = {"changes": changed if name == "one net*" else {}, "key": own[name], "runs": entries[name]}
        elif there and name in there.variants:  # of an earlier call, with other images
            made[name] = {**there.variants[name], "runs": entries[name]}
    data = {**_facts(main.prepared), "note": note}
    if pretraining:
        data["pretraining"] = _facts(pretraining)
    elif there and "pretraining" in there.data:
        data["pretraining"] = there.data["pretraining"]
    first = runner.measured(main.path(Task("", Run(kinds.plain), ())), main.prepared)
    machine = there.machine if there else first["machine"] if first else {}
    for network in networks:  # as in other results, only those of another machine name it
        if network.get("machine") == machine:
            del network["machine"]
    result = Result(
        claim=ID,
        scale=main.scale.name,
        command=f"alexnet table2 {options}".rstrip(),
        data=data,
        recipe=asdict(kinds.plain),
        variants=made,
        search={},
        target=None,
        validation_target=main.scale.validation_target,
        machine=machine,
        commits=sorted({network["commit"] for network in networks}),
        seconds=round(sum(network["seconds"] for network in networks), 1),
    )
    number = sum(map(len, entries.values()))
    if number and number >= runner.runs_in(results / main.scale.name / f"{ID}.json"):
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

    Without data the numbers of images are those of the scale's, for pre-training too. With data but no other images there is
    no pre-training.
    """
    kinds = chain(scale, len(pretraining.classes) if pretraining else WHOLE[scale.name][2], epochs, pretrain_epochs)
    rows, known, made = [], prepared is not None, list[Repeat]()
    before, main = (
        Runner(scale, each, out, 1, lambda now: None, lambda: False) if each else None
        for each in (pretraining, prepared)
    )
    if main:
        made = [tasks(kinds, repeat, before) for repeat in range(repeats)]
    for name, of_kind, data, number in (
        ("pre-training with conv6", kinds.pretraining, pretraining, STARRED),
        ("from nothing", kinds.plain, prepared, PLAIN),
        ("fine-tuning", kinds.fine_tuning, prepared, STARRED),
    ):
        if main and not before and name != "from nothing":
            continue
        if data:
            training, validation = len(training_of(of_kind, data)[1]), len(validation_of(of_kind, data)[1])
            classes = len(data.classes)
        else:
            training, validation, classes = WHOLE[scale.name]
        ended = 0
        for each in made:
            group = {"from nothing": each.plain, "fine-tuning": each.fine_tuning}.get(name, each.pretraining)
            of = before if group is each.pretraining else main
            ended += sum(of.is_done(task) for task in group) if of else 0
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
    nothing = (
        "none, so that there are the first two rows alone" if main else "other images, counted as if they were as many"
    )
    what = [
        each.manifest["source"]["description"] if each else other
        for each, other in ((prepared, scale.data), (pretraining, nothing))
    ]
    return Plan(scale.name, f"{what[0]}; pre-training: {what[1]}", known, repeats, tuple(rows))


# --- the table --------------------------------------------------------------------------------------------------------


def tables(result: Result) -> list[Table]:
    """The paper's table beside what was measured, and the differences between its rows."""
    repeats = len(result.variants["one net"]["runs"])
    not_run = [name for name in ROWS if not result.variants.get(name, {}).get("runs")]
    cells = [("second-best entry", "", "", f"{SECOND_BEST}", "")]
    for variant, (name, *paper) in ROWS.items():
        each = [results_.spread(result.values(variant, measure)) or "–" for measure in ("ten_top1", "ten_top5")]
        own = ["not run"] * 2 if variant in not_run else each
        cells.append((name, f"{paper[0]}", own[0], f"{paper[1]}", own[1]))
    confidence = f"{100 * results_.CONFIDENCE:.0f}%"
    headings = ("", "top-1, paper", f"here ({confidence} interval)", "top-5, paper", f"here ({confidence} interval)")
    title = f"Table 2: error in %, ten crops. Paper: ILSVRC-2012. Here: {_data(result)}; {repeats} repeat{'s' * (repeats != 1)}"
    rows = []
    for variant in SHOWN:
        compared = claims[variant].comparisons
        outcomes = [results_.outcome(result, comparison) for comparison in compared]
        for comparison, one in zip(compared, outcomes, strict=True):
            if one is not None:
                names = " − ".join(ROWS[side][0] for side in (comparison.of, comparison.against) if side)
                names += " weighted − plain" if comparison.measure == "weight_gain" else ""
                which = "top-5" if comparison.measure.endswith("5") else "top-1"
                rows.append((f"{names}, {which}", ledger.paper(comparison), ledger.measured(one), one.verdict))
    return [
        Table(title, headings, tuple(cells)),
        Table("Differences in points", ("", "paper", f"here ({confidence} interval)", "verdict by rule"), tuple(rows)),
    ]


def _data(result: Result) -> str:
    data, before = result.data, result.data.get("pretraining")
    note = f" ({data['note']})" if data["note"] else ""
    starred = (
        f"pre-trained on {before['source']}, {before['classes']} classes"
        if before
        else "* not run: nothing to pre-train on"
    )
    return f"{data['source']}, {data['classes']} classes{note}, {starred}"


def to_dict(result: Result) -> dict[str, Any]:
    """The result file with the rows of both tables, for JSON."""
    compared = [each for variant in SHOWN for each in claims[variant].comparisons]
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


def open_both(data: Path, pretrain_data: Path | None) -> tuple[Prepared, Prepared | None]:
    """Both prepared datasets, where there are two. InputError if they are one: pre-training is on other images."""
    opened = prepared_sets.open(data)
    if pretrain_data is None:
        return opened, None
    if data.resolve() == pretrain_data.resolve():
        raise InputError(f"--pretrain-data {pretrain_data}: the same folder as --data; it has to be other images")
    return opened, prepared_sets.open(pretrain_data)
