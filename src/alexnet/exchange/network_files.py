"""A run's network is written as one file, with how much its fewer bits cost, and such a file is made a run folder again.

The format is `run.network_file`'s.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data.prepared import Prepared
from alexnet.data.statistics import Colour
from alexnet.errors import InputError, RunFailed
from alexnet.exchange import new_run
from alexnet.exchange.exported import Progress, compare, measure
from alexnet.exchange.new_run import Imported
from alexnet.reading import sha256_of
from alexnet.run import growth, network_file, trained
from alexnet.run.network_file import Contents, Measured
from alexnet.run.trained import TrainedNetwork


def write(
    network: TrainedNetwork,
    file: Path,
    data: Prepared | None,
    int8: bool,
    views: int,
    note: str,
    progress: Progress,
) -> dict[str, Any]:
    """Write the network as a network file, read it again and compare it; return what Exported says of it.

    With data, both forms' errors over `views` are measured on the images that validate the run, and the file's is kept in it.
    RunFailed if it does not come back as it was written, or answers with NaN.
    """
    contents = replace(network.contents, measured=None, note=note or network.contents.note)
    if not network.in_file:
        epochs = growth.some_epochs(network.path)
        contents = replace(contents, kernels={epoch: growth.read(network.path, epoch) for epoch in epochs})
    network_file.write(file, contents, int8)
    loaded = trained.load(file)
    compared, apart = compare(network, loaded, data)
    if not apart.probability <= 1:
        raise RunFailed(
            f"{file.name}: not written, since the network in it answers with NaN; train again at a lower rate"
        )
    results: dict[str, Any] = {"compared": compared, "difference": apart}
    if data is not None:
        forms = {"run": network, "file": loaded}
        judges = {name: (form.network, form.preparation) for name, form in forms.items()}
        measured, images = measure(network, judges, data, views, progress)
        results |= measured
        after = measured["after"]
        contents = replace(contents, measured=Measured(after.top1_error, after.top5_error, views, images))
        network_file.write(file, contents, int8)
    _check_again(contents, loaded, network_file.read(file))
    return {**results, "sha256": sha256_of(file)}


def _check_again(contents: Contents, loaded: TrainedNetwork, again: Contents) -> None:
    """RunFailed unless the file that was read `again` has these contents, with the weights that were compared."""
    weights = loaded.network.state_dict()
    same = weights.keys() == again.weights.keys() and all(torch.equal(weights[n], again.weights[n]) for n in weights)
    for name in ("recipe", "classes", "checkpoint", "measured", "note"):
        same = same and getattr(contents, name) == getattr(again, name)
    if not same or list(contents.kernels) != list(again.kernels):
        raise RunFailed(
            f"{again.where.name}: not written, since it is read as something else; see whether the disk is sound"
        )


def import_file(files: Sequence[Path], out: Path, data: Prepared | None = None) -> Imported:
    """Make the run folder `out` of a network file, of "starter" or of a network file's URL: its weights are checkpoint 0.

    data: a prepared dataset with the same classes, which commands then find by themselves. InputError for other classes, and
    for what `trained.load` refuses.
    """
    if len(files) != 1:
        raise InputError(f"{files[1]}: a network file is all of a network; give no other beside it")
    source = str(files[0])
    network = trained.load(source)
    contents = network.contents
    if data is not None and data.classes != network.classes:
        raise InputError(f"--data {data.path}: its classes are not those of {source}, or in another order")
    values, vectors = contents.eigenvalues.astype(np.float64), contents.eigenvectors.astype(np.float64)
    colour = Colour((vectors * values) @ vectors.T, values, vectors)
    new_run.write(
        out, contents.recipe, network.network, network.classes, contents.mean, colour, source, data, contents.kernels
    )
    _, apart = compare(network, trained.load(out), None)
    notes = [f"its weights are those of {network.checkpoint} of a run that is not here; in {out} they are step 0"]
    notes += [f"as it was written, it had {network.measured}"] if network.measured else []
    notes += [contents.note] if contents.note else []
    return Imported(
        out, "alexnet", network.network.spec.name, len(network.classes), tuple(notes), "the network file", apart
    )
