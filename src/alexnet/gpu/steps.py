"""Training images a second, end to end, beside torchvision's alexnet and a plain port, in turn, in the same minutes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from alexnet.gpu import timing
from alexnet.gpu.figures import Row, in_turn, ratios, row
from alexnet.gpu.needs import operations
from alexnet.gpu.stepping import Images, Loop, Stepping, our_step, peer_step, plain_port, torchvisions
from alexnet.gpu.timing import Given

OURS = "paper, graph"
"""What `alexnet train` does on a GPU."""
IMAGENET = 1.28e6


def steps(given: Given) -> tuple[list[Row], dict[str, Any]]:
    """Whole steps at every batch size: images/s, share of the matrix ceiling, ratios to the peers; memory goes into the rest."""
    rows: list[Row] = []
    memory: dict[str, int | None] = {}
    images = Images(given.size, given.device)
    for batch in given.size.batches:
        if rows and given.stop():
            given.leave_out(f"steps of {batch} images", "no time left")
            continue
        timing.peak(given.device)
        seconds = measured(forms(given, images, batch), images, batch, given)
        rows += figures(seconds, batch, operations(given.size.network), given.limits)
        memory[f"bytes held by all forms together, {batch}"] = timing.peak(given.device)
        torch.compiler.reset()
        timing.free(given.device)
    return rows, {"memory": memory}


def forms(given: Given, images: Images, batch: int) -> dict[str, Callable[[], Stepping]]:
    """What makes each form; those that compile last, and the slower ones to compile only with the first and last batch size."""
    paper = given.size.network
    name, theirs = torchvisions(paper.classes)
    all_forms: dict[str, Callable[[], Stepping]] = {
        OURS: lambda: our_step(paper, images, batch),
        "paper, eager": lambda: our_step(paper, images, batch, capture=False),
        "paper without LRN, graph": lambda: our_step(replace(paper, normalization="none"), images, batch),
        "plain port, nn.LocalResponseNorm": lambda: peer_step(plain_port(paper), images, None),
        f"{name}": lambda: peer_step(theirs(), images, None),
        f"{name}, compile": lambda: peer_step(theirs(), images, "default"),
        f"{name}, compile and its graphs": lambda: peer_step(theirs(), images, "reduce-overhead"),
        "paper, graph and compile": lambda: our_step(paper, images, batch, compile="default"),
    }
    if batch in (given.size.batches[0], given.size.batches[-1]):
        return all_forms
    return {form: make for form, make in all_forms.items() if "compile and" not in form and "and compile" not in form}


def measured(
    made: dict[str, Callable[[], Stepping]], images: Images, batch: int, given: Given
) -> dict[str, list[float]]:
    """Seconds an image of every form, round by round; a form that fails, or comes too late, is left out."""
    loops: dict[str, Callable[[], float | None]] = {}
    number = max(1, given.size.round // batch)
    for form, make in made.items():
        if loops and given.stop():
            given.leave_out(f"{form}, {batch}", "no time left")
            continue
        try:
            loops[form] = Loop(make(), images, batch, number)
        except Exception as error:  # one form that fails leaves the others' figures
            given.leave_out(f"{form}, {batch}", error)
            timing.free(given.device)
        given.say(f"{form}, {batch}: ready")
    return in_turn(loops, given.repeats, 1, given.stop, lambda form, error: given.leave_out(f"{form}, {batch}", error))


def figures(seconds: dict[str, list[float]], batch: int, work: float, limits: dict[str, float]) -> list[Row]:
    """The rows of one batch size, from seconds an image; `work` operations to an image of the paper's network."""
    rows = []
    for form, took in seconds.items():
        speed = row(f"{form}, {batch}", [1 / s for s in took], "images/s")
        rows.append(replace(speed, note=f"1.28 million images in {IMAGENET / speed.median:.1f} s"))
    for form in (OURS, "paper, graph and compile"):
        if form in seconds:
            share = [100 * work / s / limits["product"] for s in seconds[form]]
            note = f"{work / 1e9:.3f} GFLOP an image"
            rows.append(row(f"{form}, {batch}: share of the bfloat16 product", share, "%", note))
    for rival, took in seconds.items():
        if not rival.startswith("paper,") and OURS in seconds:
            rows.append(row(f"{OURS}, {batch} against {rival}", ratios(seconds[OURS], took), "x"))
    return rows
