"""Packages that only some commands need come as extras of this package; a command that lacks one names it.

What needs an extra asks for it with `need` first, and imports its packages after that, inside functions: every module
can be imported without them.
"""

import importlib.util
import sys

from alexnet.errors import InputError

EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    # name -> who needs it, in the plural, and the modules that it brings
    "caffe": ("Caffe's files", ("google.protobuf",)),
    "claims": ("intervals of claims and searched weights", ("scipy",)),
    "cluster": ("tasks of a cluster", ("ray",)),
    "demo": ("the built-in photographs", ("skimage", "sklearn")),
    "export": ("ONNX and OpenVINO files", ("nncf", "onnx", "onnxruntime", "openvino")),
    "fast": ("compiled loops for the CPU", ("numba",)),
    "hub": ("data sets and networks of the Hugging Face hub, and parquet files", ("datasets", "huggingface_hub")),
    "mlflow": ("runs in MLflow", ("alembic", "mlflow", "sqlalchemy")),
    "report": ("pictures and the report page", ("jinja2", "matplotlib")),
    "tensorboard": ("TensorBoard's events", ("tensorboard",)),
    "trackio": ("runs in Trackio", ("trackio",)),
    "wandb": ("runs in Weights & Biases", ("wandb",)),
    "web": ("pages in the browser", ("fastapi", "uvicorn")),
}

TRACKERS = ("mlflow", "trackio", "wandb")
"""Extras that `train --log` alone needs, and that `all` does not bring, as they are heavy."""

PACKAGES = {
    "google.protobuf": "protobuf",
    "mlflow": "mlflow-skinny",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
"""What a module's package is called where it is installed, if not like the module."""


def missing(extra: str, *modules: str) -> list[str]:
    """Packages of an extra that are not installed; only those of `modules` where some are named."""
    return [PACKAGES.get(name, name) for name in modules or EXTRAS[extra][1] if not _is_there(name)]


def lacking(extra: str, *modules: str) -> str:
    """Say what misses an extra's packages and how to get them, for a command that goes on; "" if they are there."""
    names = missing(extra, *modules)
    return f'{EXTRAS[extra][0]} need {", ".join(names)}: pip install "alexnet[{extra}]"' if names else ""


def need(extra: str, *modules: str) -> None:
    """Raise InputError, with the command that installs it, unless an extra's packages are there; see `missing`."""
    if said := lacking(extra, *modules):
        raise InputError(said)


def _is_there(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it lies in
        return False
