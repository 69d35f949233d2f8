"""Weights of other programs are made a run folder, and compared before; layer files of 2012 are made networks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data import prepared
from alexnet.data.augment import centre
from alexnet.data.prepared import Prepared
from alexnet.data.statistics import Colour
from alexnet.errors import InputError
from alexnet.exchange import foreign, layer_files, network_files, new_run
from alexnet.exchange.comparison import TOLERANCE, Difference, difference
from alexnet.exchange.foreign import Foreign, Kind, Options
from alexnet.exchange.inputs import Takes
from alexnet.exchange.new_run import Imported
from alexnet.files import write_text
from alexnet.network import named
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.network.summary import summarize
from alexnet.reading import parse_json, read_bytes
from alexnet.run import recipes
from alexnet.run.folder import MOST_CLASSES

COMPARED = 8
"""Images of noise that file and network are compared on."""


@dataclass(frozen=True)
class ImportedNetwork:
    """A network file made of a layer file, and the named network that is nearest to it."""

    file: Path
    network: Network
    nearest: str
    differences: tuple[str, ...]
    """In what it differs from `nearest`; empty if in nothing."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        lists = {"differences": list(self.differences), "notes": list(self.notes)}
        return {"network": str(self.file), "nearest": self.nearest, **lists}


def import_weights(
    files: Sequence[Path],
    out: Path,
    kind: Kind | None = None,
    takes: Takes | None = None,
    mean: str | None = None,
    classes: Path | None = None,
    data: Path | None = None,
    input_size: int | None = None,
    image_size: int | None = None,
    name: str | None = None,
) -> Imported:
    """Make the run folder `out` from weights of Caffe, torchvision, an ONNX graph or a network file of alexnet, in `files`.

    The network is compared with the file's own definition on COMPARED images of noise: InputError, and nothing is written,
    beyond `comparison.TOLERANCE`. The arguments are those of `alexnet import`: kind, what the network takes, its mean (a
    file, or three values as text), a file of its classes' names, a prepared dataset of these classes, sizes in pixels and
    the network's name. None: what the files say. InputError too, naming file or layer, for files that are damaged, do not
    fit a network here, or do not say enough; RunFailed if there is no room for the folder.
    """
    kind = foreign.kind_of(files, kind)
    new_run.check_free(out)
    dataset = prepared.open(data) if data else None
    options = Options(mean, takes, input_size, image_size, name)
    if kind == "alexnet":
        if options != Options() or classes:
            raise InputError(
                f"{files[0]}: a network file says all of itself; only --out and --data can stand beside it"
            )
        return network_files.import_file(files, out, dataset)
    original = foreign.read(files, kind, options)
    names = _class_names(original, classes, dataset, files[0])
    network = original.module()
    apart = compare(network, original)
    notes = original.notes
    if names is None:
        names = [f"class {number}" for number in range(original.network.classes)]
        notes = (*notes, "the classes have no names; --classes FILE gives them")
    recipe = replace(recipes.paper, name=original.network.name, network=original.network, image_size=len(original.mean))
    # No file of others says anything of the colours' principal components; fine-tuning takes its own data's.
    colour = Colour(np.zeros((3, 3)), np.zeros(3), np.eye(3))
    new_run.write(out, recipe, network, names, original.mean, colour, str(files[0]), dataset)
    return Imported(out, kind, original.network.name, len(names), notes, original.by, apart)


def import_layers(files: Sequence[Path], out: Path, input_size: int | None = None) -> ImportedNetwork:
    """Write the network of a layer file of the 2012 program, and at most its parameter file, to `out` (.json).

    input_size: side of the images in pixels, which no layer file says. InputError, naming the layer, for what does not fit.
    """
    if len(files) > 2:
        raise InputError(f"{files[2]}: give a layer file, and at most its parameter file")
    if out.suffix != ".json":
        raise InputError(f"--out {out}: a layer file has no weights and becomes a network, whose name ends in .json")
    built = layer_files.read(files[0], files[1] if len(files) == 2 else None, input_size)
    nearest, differ = named.nearest(built.network, initial=True)
    summarize(built.network)  # whether it can be built
    write_text(out, named.to_json(built.network))
    return ImportedNetwork(out, built.network, nearest.name, tuple(differ), built.notes)


@torch.no_grad()
def compare(network: AlexNet, original: Foreign) -> Difference:
    """Compare the network with the file's own definition on images of noise; InputError beyond `comparison.TOLERANCE`."""
    size = network.spec.input_size
    pixels = torch.randint(256, (COMPARED, 3, size, size), generator=torch.Generator().manual_seed(0)).float()
    logits = network(pixels - centre(torch.from_numpy(original.mean).permute(2, 0, 1), size))
    wanted = original.logits(pixels)
    if logits.shape != wanted.shape:
        raise InputError(f"{original.by} gives {list(wanted.shape)}, the network {list(logits.shape)}")
    apart = difference(logits, wanted)
    if not apart.allowed:
        raise InputError(
            f"not imported: the probabilities differ by {apart.probability:.1e} from those of {original.by}, the logits by"
            f" {apart.logit:.1e} of the largest; {TOLERANCE:.0e} is allowed. Say what the network takes with --input and"
            " --mean"
        )
    return apart


def _class_names(original: Foreign, file: Path | None, data: Prepared | None, weights: Path) -> list[str] | None:
    """Return the names in `file`, else those of the data, else those in the file of weights; None if nothing names them."""
    number = original.network.classes
    if file:
        names, where = read_classes(file), f"--classes {file}"
    elif data:
        names, where = list(data.classes), f"--data {data.path}"
    elif original.classes:
        names, where = original.classes, str(weights)
    else:
        return None
    if len(names) != number:
        raise InputError(f"{where}: {len(names)} classes, the network has {number}")
    if len(set(names)) != number:
        raise InputError(f"{where}: a name is there twice")
    if data and data.classes != tuple(names):
        raise InputError(f"--data {data.path}: its classes are not those of --classes {file}, or in another order")
    return names


def read_classes(file: Path) -> list[str]:
    """Read the names of classes, one a line or a JSON list; InputError for other files.

    A line of Caffe's synset_words.txt, "n01440764 tench, Tinca tinca", is named as `prepare` names the class: "n01440764 tench".
    """
    try:
        text = read_bytes(file, MOST_CLASSES).decode("utf-8")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        lines = [line.partition(",")[0] if re.match(r"n\d{8} ", line) else line for line in lines]
        names = parse_json(text, str(file)) if file.suffix == ".json" else lines
    except (OSError, ValueError) as error:
        raise InputError(f"--classes {file}: cannot be read ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"--classes {file}: no list of names")
    return names
