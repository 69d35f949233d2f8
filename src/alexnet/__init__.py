"""AlexNet, the whole system of Krizhevsky, Sutskever and Hinton (2012), laid out as the paper is.

>>> import alexnet
>>> network = alexnet.AlexNet(alexnet.networks.paper)        # a torch module with new initial values
>>> trained = alexnet.load("runs/demo/run")                  # a run's network, with its classes and preparation
>>> trained.predict("photo.jpg").label                       # the most probable of its classes
>>> images = alexnet.data.prepared.open("runs/demo/data").split("val").images
"""

from types import SimpleNamespace

from alexnet import data
from alexnet.errors import InputError, RunFailed
from alexnet.network import spec
from alexnet.network.model import AlexNet
from alexnet.run import recipes as named
from alexnet.run.predict import Prediction
from alexnet.run.trained import TrainedNetwork, load

networks = SimpleNamespace(**{name.replace("-", "_"): value for name, value in spec.networks.items()})
"""The named networks: `networks.paper`, `networks.authors_2012` ..."""

recipes = SimpleNamespace(**{name.replace("-", "_"): value for name, value in named.recipes.items()})
"""The named recipes: `recipes.demo`, `recipes.imagenette` ..."""

__all__ = ["AlexNet", "InputError", "Prediction", "RunFailed", "TrainedNetwork", "data", "load", "networks", "recipes"]
