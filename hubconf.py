"""Networks for torch.hub: `torch.hub.load("OWNER/alexnet", "starter")`, OWNER being whoever publishes this repository.

From a copy on this machine: `torch.hub.load("FOLDER", "starter", source="local")`. Nothing needs to be installed but what
`dependencies` names.
"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))

import alexnet  # noqa: E402  # from the folder beside this file

dependencies = ["numpy", "PIL", "rich", "safetensors", "simplejpeg", "torch", "tyro"]


def starter() -> alexnet.TrainedNetwork:
    """The trained network that comes along: `starter().predict("photo.jpg").label` is one of its ten classes."""
    return alexnet.load("starter")


def load(run: str) -> alexnet.TrainedNetwork:
    """The trained network of a run folder, of a network file, or of a network file's URL that ends in #sha256=HEX."""
    return alexnet.load(run)


def paper(classes: int = 1000) -> alexnet.AlexNet:
    """The network as the paper's text has it, with new initial values: pixels 0-255 minus the mean in, logits out."""
    return alexnet.AlexNet(dataclasses.replace(alexnet.networks.paper, classes=classes))


def authors_2012(classes: int = 1000) -> alexnet.AlexNet:
    """The network as the program of 2012 had it, likewise."""
    return alexnet.AlexNet(dataclasses.replace(alexnet.networks.authors_2012, classes=classes))
