"""The sheet of a claim: its runs and averages, and the result that is written from those that are finished."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alexnet.claims.averages import average
from alexnet.claims.claim import Claim, Group, Scale, Stage
from alexnet.claims.expand import differences, networks, stage_recipe, tasks
from alexnet.claims.keys import Folders, Run, Task
from alexnet.claims.perform import epochs_to
from alexnet.claims.records import Data, Machine, Record, Result, Trial, Variant, images_of, load
from alexnet.errors import InputError
from alexnet.run.recipe import Recipe


def trials_of(search: dict[str, list[Task]], folders: Folders) -> dict[str, tuple[Trial, ...]]:
    """What a claim's search runs gave, by variant; variants of which not all are finished are left out."""
    return {
        name: tuple(_trial(task.run, record, folders) for task, record in zip(tasks, records, strict=True) if record)
        for name, tasks in search.items()
        if all(records := [folders.record(task) for task in tasks])
    }


def _trial(run: Run, record: Record, folders: Folders) -> Trial:
    recipe, key = run.recipe, folders.key(run)
    error = record.values["train_error"]
    return Trial(recipe.rate, error, key, recipe.seed, record.values, record.diverged, record.seconds, record.commit)


class Sheet:
    """What a claim's result is written from, while its runs are done."""

    def __init__(
        self,
        claim: Claim,
        scale: Scale,
        folders: Folders,
        results: Path,
        seeds: Sequence[int],
        search: dict[str, tuple[Trial, ...]],
        options: str,
        note: str,
    ) -> None:
        self.claim, self.scale, self.folders, self.results, self.search = claim, scale, folders, results, search
        self.command = f"alexnet claims run {shlex.quote(claim.id)} {options}".rstrip()
        self.note, self.base, other = note, scale.base(claim), folders.other
        self.classes = len(other.classes) if other else 0
        rates = {name: scale.search_of(claim).best(trials) for name, trials in search.items()}
        self.variants = tasks(claim, scale, rates, seeds)
        self.groups = {name: group for name, group in claim.groups if other or not group.takes_other_images()}
        known = self._known_repeats()
        self.left = {
            repeat: {
                name: networks(group, scale, self.base, self.classes, repeat) for name, group in self.groups.items()
            }
            for repeat in seeds
            if not all(repeat in repeats for repeats in known)
        }
        """The networks of each group in the repeats that the result file lacks. The averages of a repeat rest on the same
        networks: where one is missing, all are made from what is trained now."""
        self.averages: dict[str, dict[int, Record]] = {name: {} for name in self.groups}
        """What the repeats that were left gave, by group."""

    def _before(self) -> Result | None:
        """What the result file has; None if there is none, or a damaged one."""
        try:
            return load(self.results / self.scale.name / f"{self.claim.id}.json")
        except InputError:
            return None

    def _known_repeats(self) -> list[set[int | None]]:
        """For each group the repeats that the result file has, of the same images and recipes."""
        before = self._before()
        same_images = before and before.data.images == images_of(self.folders.images)
        variants = before.variants if before and same_images else {}
        return [
            {run.seed for run in variants[name].runs if variants[name].key == self._key(group)}
            if name in variants
            else set()
            for name, group in self.groups.items()
        ]

    def first(self) -> list[Task]:
        """The runs that others begin with."""
        return [task.before for seed in self.left for task in self._networks(seed) if task.before]

    def of_seed(self, seed: int) -> list[Task]:
        """The runs of a seed, or a repeat, in their order."""
        plain = [task for variant in self.variants.values() for task in variant if task.run.recipe.seed == seed]
        return plain + self._networks(seed)

    def _networks(self, repeat: int) -> list[Task]:
        return [task for tasks in self.left.get(repeat, {}).values() for task in tasks]

    def _recipe(self, stage: Stage) -> Recipe:
        return stage_recipe(stage, self.scale, self.base, self.classes)

    def _key(self, group: Group) -> str:
        """The key of a group: of everything that decides its figures, seeds apart."""
        stages = [each for stage in group.stages for each in (stage.start, stage) if each]
        return "-".join(self.folders.key(Run(self._recipe(each), other_images=each.other_images)) for each in stages)

    def _changes(self, group: Group) -> dict[str, object]:
        """What a group's networks change in the base recipe; nothing is said of an average, which is of others' networks."""
        changed: dict[str, object] = {}
        for stage in () if group.averaged else group.stages:
            changed |= differences(self._recipe(stage), self.base)
            if stage.start:
                first = differences(self._recipe(stage.start), self.base)
                changed |= {f"pre-training.{name}": value for name, value in first.items()}
        return changed

    def write(self) -> Result:
        """The result from the runs that are finished by now, and those that only its file has; also as that file, unless that
        has more runs, of other data or another recipe."""
        variants = {name: self._variant(tasks) for name, tasks in self.variants.items()}
        variants |= {name: self._group(name) for name in self.groups}
        before, runs = self._before(), [run for variant in variants.values() for run in variant.runs]
        measured = [network for run in runs for network in _networks(run)]
        machine = next((each.machine for each in measured if each.machine), before.machine if before else {})
        trials = [trial for trials in self.search.values() for trial in trials]
        result = Result(
            claim=self.claim.id,
            scale=self.scale.name,
            command=self.command,
            data=Data.describe(self.folders.images, self.note, self.folders.other if self.groups else None),
            recipe=self.base,
            variants={
                name: replace(variant, runs=tuple(_elsewhere(run, machine) for run in variant.runs))
                for name, variant in variants.items()
            },
            search=self.search,
            target=self.scale.target if self.claim.stops else None,
            validation_target=self.scale.validation_target,
            machine=machine,
            commits=tuple(sorted({each.commit for each in measured} | {trial.commit for trial in trials})),
            seconds=round(sum(run.seconds for run in runs) + sum(trial.seconds for trial in trials), 1),
        )
        result = result.merged(before) if before else result
        if measured and len(result.runs()) >= len(before.runs() if before else ()):
            result.save(self.results)
        return result

    def _variant(self, tasks: Sequence[Task]) -> Variant:
        first = tasks[0].run
        records = self.folders.of_variant(first)
        if self.claim.search:
            # The run that chose the rate is no repeat. Where searches are as long as runs, it has the variant's key.
            records.pop(self.scale.search_of(self.claim).seed, None)
        runs = (self._timed(replace(record, seed=seed, images=None), first) for seed, record in records.items())
        return Variant(changes=differences(first.recipe, self.base), key=self.folders.key(first), runs=tuple(runs))

    def _timed(self, record: Record, run: Run) -> Record:
        """A record with how soon it reached the scale's validation error."""
        epochs = record.values.get("epochs", float(run.recipe.epochs))
        until, reached = epochs_to(self.scale.validation_target, record.validation, epochs)
        times = {"epochs_to_validation": until, "reached_validation": reached}
        return replace(record, values=record.values | times)

    def _group(self, name: str) -> Variant:
        group, averages = self.groups[name], self.averages[name]
        for repeat, groups in self.left.items():
            if repeat not in averages and all(self.folders.is_done(task) for task in groups[name]):
                averages[repeat] = average(groups[name], group.averaged, repeat, self.folders)
        in_order = tuple(record for _, record in sorted(averages.items()))
        return Variant(changes=self._changes(group), key=self._key(group), runs=in_order)


def _networks(run: Record) -> Iterator[Record]:
    """The trained networks of a record: itself, or those that it is the mean of, and those that they began with."""
    for network in run.networks:
        yield from _networks(network)
    if run.commit and not run.networks:
        yield run
        if run.pretraining:
            yield run.pretraining


def _elsewhere(run: Record, machine: Machine) -> Record:
    """A record that names its machine only where that is another than the result's."""
    return replace(
        run,
        machine=None if run.machine == machine else run.machine,
        networks=tuple(_elsewhere(network, machine) for network in run.networks),
        pretraining=run.pretraining and _elsewhere(run.pretraining, machine),
    )
