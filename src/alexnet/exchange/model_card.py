"""The model card of a network, the README.md of its repository on the Hugging Face hub, written from its run.

It tells what the run folder, the dataset and the export tell, and says "not known" or "not measured" where they do not.
"""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from string import Template
from typing import Any

from alexnet import provenance, tensors
from alexnet.data.prepared import Prepared
from alexnet.data.sources.tables import HUB
from alexnet.exchange.exported import Exported
from alexnet.insight.evaluations import read_evaluations
from alexnet.insight.settings import settings
from alexnet.network.named import differences
from alexnet.network.networks import networks
from alexnet.network.summary import summarize
from alexnet.run.folder import pretrained, source_of
from alexnet.run.images import measured_on, validation_of
from alexnet.run.metrics import epochs, read_metrics
from alexnet.run.network_file import Measured
from alexnet.run.recipes import paper, recipes
from alexnet.run.trained import TrainedNetwork
from alexnet.typed import from_dict
from alexnet.words import counted, gigabytes, short, visible, with_word

NAME = "README.md"

TEMPLATE = Path(__file__).parent / "model_card.md"

MOST_LISTED = 50
"""Up to so many classes are all listed; of more, the first ten."""

Row = tuple[str, str, Measured]
"""Errors: of what, on which images of which source, and what was measured."""


def card(
    name: str, network: TrainedNetwork, exported: Exported, data: Prepared | None, views: int, license: str | None
) -> str:
    """The card, as Markdown, of the network in the file `exported`, which will be in the repository `name`.

    name: OWNER/NAME or OWNER/NAME@BRANCH. data, views: what its errors were measured on, where they were.
    """
    recipe, spec, repository = network.recipe, network.recipe.network, name.partition("@")[0]
    title = repository.partition("/")[2]
    layers = differences(spec, networks["paper"])
    base = recipes.get(recipe.name, paper)
    # What the networks differ in is said by what they compute.
    lines = [line for line in settings(recipe, replace(base, network=spec)) if line.differs]
    every = [] if network.in_file else read_evaluations(network.path, network.classes, network.checkpoint)
    evaluated = [row for row in every if not row["older"] and row["split"] != "train"]
    of_file = _rows_of_file(network, exported, data, views)
    note, commit = tensors.metadata(exported.file).get("note", ""), provenance.commit()
    values = {
        "front_matter": _front_matter(title, network, of_file, data, license),
        "title": title,
        "name": name,
        "repository": repository,
        "network": _code(spec.name),
        "parameters": f"{summarize(spec).parameters:,}",
        "input": spec.input_size,
        "size": network.size,
        "network_beside": "differs from the paper's (`alexnet summary paper`) in:" if layers else "is the paper's.",
        "network_differences": "\n".join(f"- {_plain(line)}" for line in layers),
        "number": f"{len(network.classes):,}",
        "classes": _classes(network.classes),
        "trained_on": _trained_on(network),
        "recipe": _code(recipe.name),
        "epochs": f"{recipe.epochs:,}",
        "batch": f"{recipe.batch:,}",
        "seed": recipe.seed,
        "recipe_beside": f"{'differs from' if lines else 'is'} the package's recipe `{base.name}`{' in:' if lines else '.'}",
        "recipe_differences": "\n".join(
            f"- {line.name}: {_plain(f'{line.value} (not {line.paper})')}" for line in lines
        ),
        "note": note and f"Note in the file: {_plain(note)}",
        "errors": _errors(network, of_file, evaluated),
        "calibration": _calibration(network, evaluated),
        "file": exported.file.name,
        "bytes": gigabytes(exported.bytes),
        "form": "int8" if exported.int8 else "float16",
        "sha256": exported.sha256,
        "checkpoint": exported.checkpoint,
        "program": f"alexnet {provenance.version()}" + (f", commit {commit}" if commit != "unknown" else ""),
        "license": "" if license else "No licence is stated.",
    }
    text = Template(TEMPLATE.read_text("utf-8")).substitute(values)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _front_matter(
    title: str, network: TrainedNetwork, of_file: Sequence[Row], data: Prepared | None, license: str | None
) -> str:
    """What the hub reads itself: its own dataset among the sources, and the errors of this very file as results."""
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    if of_file and data:
        _, on, measured = of_file[0]
        description = data.manifest["source"]["description"]
        errors = {"top-1": measured.top1_error, "top-5": measured.top5_error}
        for kind in list(errors)[: 2 if len(network.classes) > 5 else 1]:
            result = EvalResult(
                task_type="image-classification",
                dataset_type=_hub_id(description) or "other",
                dataset_name=_told(description),
                dataset_split=on.partition(",")[0],
                metric_type="error_rate",
                metric_name=f"{kind} error, %, {counted(measured.views, 'view')}, {measured.images:,} images",
                metric_value=round(errors[kind], 2),
            )
            results.append(result)
    dataset = None if network.in_file else _hub_id(source_of(network.path) or "")
    return ModelCardData(
        license=license,
        library_name="alexnet",
        pipeline_tag="image-classification",
        tags=["alexnet", "pytorch"],
        datasets=[dataset] if dataset else None,
        model_name=title if results else None,
        eval_results=results or None,
    ).to_yaml()


def _classes(classes: Sequence[str]) -> str:
    listed = classes if len(classes) <= MOST_LISTED else classes[:10]
    names = ", ".join(_plain(with_word(short(name))) for name in listed)
    return names + (", …" if len(listed) < len(classes) else "")


def _trained_on(network: TrainedNetwork) -> str:
    if network.in_file:
        return "not known, as it was written from a network file"
    source = source_of(network.path)
    if source is None:
        return "not known; its run does not tell, as where weights were imported"
    lines = read_metrics(network.path)
    start: dict[str, Any] = next((line for line in reversed(lines) if line["kind"] == "start"), {})
    counts, ended = (start.get("images"), start.get("validation_images")), epochs(lines)
    began = _began(pretrained(network.path))
    if not ended or not all(isinstance(count, int) for count in counts):
        return _source(source) + began
    (images, held), last = counts, ended[-1]["epoch"]
    return (
        f"{_source(source)}; {images:,} images for {counted(last, 'epoch')}, beside {held:,} that validated it{began}"
    )


def _began(start: str | bool | None) -> str:
    """What is told of the network whose weights a run began with, by its name or by whether it is known to have been one."""
    if start is None:
        return ". Whether it began with the weights of another network, the run does not tell"
    if not start:
        return ""
    name = "another network" if start is True else f"`{_code(start)}`"
    return f". It began with the weights of {name}, whose own training the run does not tell of"


def _rows_of_file(network: TrainedNetwork, exported: Exported, data: Prepared | None, views: int) -> list[Row]:
    """The errors of the file, and of the network before its weights were rounded; none where they were not measured."""
    if data is None or exported.before is None or exported.after is None:
        return []
    split, indices = validation_of(network.recipe, data)
    on = f"{measured_on(split)}, {_source(data.manifest['source']['description'])}"
    before = f"before its weights were brought to {8 if exported.int8 else 16} bits"
    return [
        (subject, on, Measured(errors.top1_error, errors.top5_error, views, len(indices)))
        for subject, errors in (("this file", exported.after), (before, exported.before))
    ]


def _errors(network: TrainedNetwork, of_file: Sequence[Row], evaluated: Sequence[dict[str, Any]]) -> str:
    rows = list(of_file)
    for row in evaluated:
        subject = f"the run, by `alexnet evaluate`, {_code(row.get('precision') or 'precision not told')}"
        rows.append((subject, _on(row), _measured(row, network)))
    if not rows and network.measured:
        rows.append(("the file that this one was made of, as it says", "not told", network.measured))
    if not rows:
        return "Not measured."
    five = len(network.classes) > 5  # with fewer every answer is among the first five
    lines = [] if of_file else ["Of this file: not measured.", ""]
    lines += [f"| of | on | images | views | top-1 error % |{' top-5 error % |' * five}"]
    lines += [f"|---|---|---:|---:|---:|{'---:|' * five}"]
    for subject, on, errors in rows:
        last = f" {errors.top5_error:.2f} |" * five
        lines += [f"| {subject} | {on} | {errors.images:,} | {errors.views} | {errors.top1_error:.2f} |{last}"]
    return "\n".join([*lines, "", "One view is the centre crop; ten are corners and centre, mirrored too, averaged."])


def _calibration(network: TrainedNetwork, evaluated: Sequence[dict[str, Any]]) -> str:
    row = next((row for row in evaluated if row["calibration"]), None)
    if row is None:
        return "Whether its probabilities mean what they say was not measured."
    calibration, measured = row["calibration"], _measured(row, network)
    where = f"{_on(row)}, {counted(measured.views, 'view')}"
    return (
        f"The run gave {measured.images:,} images ({where}) their first label with"
        f" {calibration.confidence:.2f} % on average, and {calibration.accuracy:.2f} % of these labels were right; the expected"
        f" calibration error is {calibration.error:.2f} points. The temperature that suits these images best,"
        f" {calibration.temperature:.2f}, is not applied."
    )


def _on(row: dict[str, Any]) -> str:
    """What an evaluation measured: a split, and of which source where that is not the one that the network was trained on."""
    split: str = row["split"]
    return f"{split}, {_source(row['source'])}" if row["source"] else split


def _measured(row: dict[str, Any], network: TrainedNetwork) -> Measured:
    values = {field.name: row[field.name] for field in fields(Measured) if field.name in row}
    measured: Measured = from_dict(Measured, values, f"{network.path}: evaluation")
    return measured


# Words of others ------------------------------------------------------------------------------------------------------


def _hub_id(description: str) -> str | None:
    """The id of the hub's data set that a source's description names."""
    match = re.match(re.escape(HUB) + r"([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?=[:,]|$)", description, re.ASCII)
    return match[1] if match else None


def _told(description: str) -> str:
    """A source's description, but for one that names a place on a machine, which is nobody else's matter."""
    place = re.search(r"(^|[\s,;:=('\"])(~|\.{0,2})[/\\]|[A-Za-z]:[/\\]", description)
    return "files of its owner's machine" if place else visible(short(description, 200))


def _source(description: str) -> str:
    """The same as Markdown, with a link to the hub's data set."""
    text, dataset = _plain(_told(description)), _hub_id(description)
    return f"[{text}](https://huggingface.co/datasets/{dataset})" if dataset else text


def _plain(text: str) -> str:
    """Text of others on one line, in which Markdown and HTML see nothing but text."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", visible(text))


def _code(text: str) -> str:
    """Text of others for a span of code, where nothing can be escaped."""
    return visible(text).replace("`", "'")
