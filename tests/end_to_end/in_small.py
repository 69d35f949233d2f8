"""What takes a reader of the documentation hours, a GPU, a cluster or the network, done in a second by this process.

Commands and their options stay as they are written. What is put in the place of what:

- Networks are trained with `KERNELS` kernels a convolution and `UNITS` units a hidden layer, and for one to three epochs: more
  for 80 than for 40, and for 4 than for 2. Weights to start from are cut to that width; torchvision's network is as narrow.
- `train` and `evaluate` leave out the report, as without that extra; `alexnet report` draws it.
- A command that starts processes which train together is the only one of them. tests/training has several.
- A cluster's tasks are threads. Experiments of claims are done in this process, with one seed; `--all` are the first three.
- The built-in photographs give a few patches each.
- A browser that is opened loads the page and presses Ctrl-C. A download and a dataset of the hub come from the working folder;
  networks go to a hub that is a folder, where what came last is also the tag v1, and from there.
- Trackers are the stand-ins of tests/run. torch.hub takes every repository for this one.
"""

import io
import os
import re
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import torch
from torch import Tensor

from alexnet import processes, training
from alexnet.claims import experiment, perform
from alexnet.cli import train as cli_train
from alexnet.data import cluster, sources
from alexnet.data.builtin import Photographs
from alexnet.extras import EXTRAS, TRACKERS, lacking, missing
from alexnet.insight import evaluate
from alexnet.network import networks
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.run import fetch
from alexnet.run.recipe import Recipe
from alexnet.training import start
from tests.data.making import parquet_files
from tests.documented import ROOT
from tests.run import stand_in_trackers

KERNELS, UNITS = 4, 8
FETCHED = "network.safetensors"
"""The file of the working folder that is downloaded from any URL."""


def thin(network: Network) -> Network:
    """A network with few kernels and units, everything else as it is."""
    return replace(
        network,
        convolutions=tuple(replace(row, kernels=min(row.kernels, KERNELS)) for row in network.convolutions),
        hidden=tuple(replace(row, units=min(row.units, UNITS)) for row in network.hidden),
        bottleneck=min(network.bottleneck, UNITS // 2),
    )


def cut(weights: dict[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Weights of a wider network, for a narrower one: the first rows and columns of each tensor."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in AlexNet(network).state_dict().items()}
    sizes = {name: shapes.get(name, tensor.shape) for name, tensor in weights.items()}
    return {name: tensor[tuple(map(slice, sizes[name]))].contiguous() for name, tensor in weights.items()}


def few(epochs: int) -> int:
    """One, two or three epochs."""
    return 1 + (epochs > 2) + (epochs > 40)


def in_small(patch: pytest.MonkeyPatch, hub: Path) -> None:
    """Patch the package so that what is run is small; see above. hub: the folder of the hub's repositories."""
    train, extend, run_claims, claims = start.train, start.extend, experiment.run, experiment.Experiment.claims.fget

    def train_in_small(
        recipe: Recipe, prepared: Any, run: Path, resume: bool = False, start_from: Any = None, *rest: Any, **more: Any
    ) -> training.Outcome:
        if not resume:  # else the run's recipe is small already
            recipe = replace(recipe, network=thin(recipe.network), epochs=few(recipe.epochs))
        start_from = start_from and cut(start_from, recipe.network)
        if processes.launched():
            more["parallel"] = "none"
        return train(recipe, prepared, run, resume, start_from, *rest, **more)

    for module in (training, start, perform):
        patch.setattr(module, "train", train_in_small)
    patch.setattr(start, "extend", lambda run, epochs: extend(run, few(epochs)))
    patch.setattr(processes, "launch", lambda number, restarts, work, *arguments: alone(work, *arguments))
    patch.setattr(cluster, "ray_crew", crew_of_threads)
    patch.setattr(experiment, "run", lambda asked, jobs=1, *rest: run_claims(asked, 1, *rest))
    patch.setattr(experiment.Experiment, "repeats", range(1))
    patch.setattr(experiment.Experiment, "claims", property(lambda asked: claims(asked)[: 3 if asked.all else None]))
    patch.setattr(Photographs, "_per_class", lambda self, split: {"train": 4, "test": 2}[split])
    patch.setattr(networks, "torchvision", thin(networks.torchvision))
    patch.setattr(webbrowser, "open", look_and_leave)
    patch.setattr(fetch, "urlopen", lambda url, timeout: io.BytesIO(Path(FETCHED).read_bytes()))
    patch.setattr(sources, "open_hub", lambda name: sources.open_parquet(parquet_files(Path("hub"))))
    if not missing("hub", "huggingface_hub"):
        from tests.hub import Tagged, put_in_place  # which imports it

        put_in_place(patch, Tagged(hub))
    packages = stand_in_trackers.modules()[0]
    for name in TRACKERS:  # but not what others look for, too
        patch.setitem(sys.modules, name, packages[name])
        patch.setitem(EXTRAS, name, (name, (name,)))
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # and taken back: trackers set a default
    hub_load = torch.hub.load
    patch.setattr(torch.hub, "load", lambda _, *words, source="github": hub_load(str(ROOT), *words, source="local"))
    for command in (cli_train, evaluate):
        patch.setattr(command, "lacking", lambda extra: "a report" if extra == "report" else lacking(extra))


def alone(work: Callable[..., int], *arguments: Any) -> int:
    """What `work` returns as the only one of the processes that torchrun would start."""
    place = {"TORCHELASTIC_RUN_ID": "documented", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.items():
            patch.setenv(name, value)
        return work(*arguments)


@contextmanager
def crew_of_threads(address: str, threads: int | None = None) -> Iterator[cluster.Crew]:
    with ThreadPoolExecutor(2) as pool:
        yield cluster.Crew(pool.submit, slots=2)


def look_and_leave(url: str) -> None:
    """A browser, and Ctrl-C in the terminal once the page is there."""
    try:
        with urlopen(url) as link:
            leads_to = re.search('url=(.*?)"', link.read().decode())
        assert leads_to
        with urlopen(unescape(leads_to[1])) as answer:
            assert b"<html" in answer.read()
    finally:  # else the server would never end
        os.kill(os.getpid(), signal.SIGINT)
