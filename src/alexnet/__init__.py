"""AlexNet, the whole system of Krizhevsky, Sutskever and Hinton (2012), laid out as the paper is.

>>> import alexnet
>>> network = alexnet.AlexNet(alexnet.networks.paper)        # a torch module with new initial values
>>> trained = alexnet.load("runs/demo/run")                  # a run's network, with its classes and preparation
>>> trained = alexnet.load("starter")                        # the network that comes with the package; or a network file
>>> trained.predict("photo.jpg").label                       # the most probable of its classes
>>> images = alexnet.data.prepared.open("runs/demo/data").split("val").images
"""

from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from alexnet.errors import InputError, RunFailed

if TYPE_CHECKING:
    from alexnet import data
    from alexnet.exchange.hub import push
    from alexnet.network.model import AlexNet
    from alexnet.run.predict import Prediction
    from alexnet.run.trained import TrainedNetwork, from_pretrained, load

    __version__: str
    networks: SimpleNamespace
    """The named networks: `networks.paper`, `networks.authors_2012` ..."""
    recipes: SimpleNamespace
    """The named recipes: `recipes.demo`, `recipes.imagenette` ..."""

__all__ = [
    "AlexNet",
    "InputError",
    "Prediction",
    "RunFailed",
    "TrainedNetwork",
    "data",
    "from_pretrained",
    "load",
    "networks",
    "push",
    "recipes",
]

_HOMES = {
    "AlexNet": "alexnet.network.model",
    "Prediction": "alexnet.run.predict",
    "TrainedNetwork": "alexnet.run.trained",
    "from_pretrained": "alexnet.run.trained",
    "load": "alexnet.run.trained",
    "networks": "alexnet.network.networks",
    "push": "alexnet.exchange.hub",
    "recipes": "alexnet.run.recipes",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: torch takes seconds, and `alexnet --help` needs none of it."""
    if name == "data":
        return import_module("alexnet.data")
    if name == "__version__":  # of the installed package: pyproject.toml alone states it
        return import_module("importlib.metadata").version("alexnet")
    if name not in _HOMES:
        raise AttributeError(f"module 'alexnet' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    if name in ("networks", "recipes"):
        value = SimpleNamespace(**{key.replace("-", "_"): one for key, one in value.items()})
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
