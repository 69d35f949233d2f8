"""What several tests share: a small learnable set of pictures, prepared, and a recipe that learns it in seconds."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from alexnet import exchange
from alexnet.data import prepare, prepared, sources
from alexnet.data.augment import Augmentation, Preparation
from alexnet.network.spec import Convolution, Hidden, Network
from alexnet.processes import Processes
from alexnet.run import locate
from alexnet.run.recipe import Recipe
from alexnet.run.schedule import Schedule
from alexnet.training import train

if TYPE_CHECKING:
    from tests.hub import Hub


class Second(Processes):
    """The second of two processes, which hears nothing of the first."""

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values


CLASSES = ("bars", "blobs", "checks", "stripes")
IMAGES_PER_CLASS = 24
SIZE = 32

# The same examples in every run, so that a change is what makes a test fail; HYPOTHESIS_PROFILE=search looks for others.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests with the marker `gpu` run where there is a GPU: `pytest -m gpu` runs those alone."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")


torch.set_num_threads(1)  # the networks here are too small for more to help

TINY_NETWORK = Network(
    # Every mechanism of the paper's: two columns that exchange, LRN, overlapping pooling, an overhanging window, dropout.
    name="tiny",
    convolutions=(
        Convolution(16, 5, stride=2, std=0.01, then=("relu", "norm", "pool")),
        Convolution(16, 3, padding=1, std=0.08, bias=0.1, then=("relu", "norm", "pool")),
        Convolution(16, 3, padding=1, std=0.12),
    ),
    hidden=(Hidden(32, std=0.1, bias=0.1), Hidden(32, std=0.1, bias=0.1)),
    links=("conv3", "fc4", "fc5"),
    classes=len(CLASSES),
    input_size=28,
    dropout=0.2,
    last_std=0.1,
)


def picture(kind: str, draw: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """uint8 [size, size, 3] of one of CLASSES: the kind is in the pattern, with colours, phase and noise at random."""
    y, x = np.mgrid[:size, :size] + draw.integers(8)
    pattern = {
        "bars": x // 4 % 2,
        "blobs": ((x % 16 - 8) ** 2 + (y % 16 - 8) ** 2) < 30,
        "checks": (x // 4 + y // 4) % 2,
        "stripes": y // 4 % 2,
    }[kind]
    dark, light = draw.integers(0, 90, 3), draw.integers(150, 255, 3)
    pixels = np.where(pattern[..., None] == 1, light, dark) + draw.normal(0, 10, (size, size, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def write_class_folders(folder: Path, per_class: int, seed: int, kinds: tuple[str, ...] = CLASSES) -> Path:
    """A folder of class folders of PNG pictures."""
    draw = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(picture(kind, draw)).save(folder / kind / f"{number:03}.png")
    return folder


def prepare_pictures(folder: Path, per_class: int, seed: int, kinds: tuple[str, ...] = CLASSES) -> prepared.Prepared:
    """Pictures, written into `folder` and prepared at 32x32."""
    source = sources.open_source(str(write_class_folders(folder / "pictures", per_class, seed, kinds)))
    return prepare.prepare(source, folder / "prepared", size=SIZE, workers=1)


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> prepared.Prepared:
    """4 classes x 24 pictures of 32x32, without a validation split."""
    return prepare_pictures(tmp_path_factory.mktemp("tiny"), IMAGES_PER_CLASS, seed=1)


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Learns `tiny_prepared` in a few epochs; 5 steps an epoch, the last of which is a short batch."""
    return Recipe(
        name="tiny",
        network=TINY_NETWORK,
        epochs=4,
        batch=16,
        rate=0.005,
        schedule=Schedule("steps", drops=(0.75,)),
        augmentation=Augmentation(crop="image", flip=True, colour="paper"),
        image_size=SIZE,
        hold_out=0.25,
        device="cpu",
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_prepared: prepared.Prepared, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, to read only: 12 epochs of `tiny_recipe` on `tiny_prepared`."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(replace(tiny_recipe, epochs=12), tiny_prepared, run)
    return run


@pytest.fixture(scope="session")
def tiny_file(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_run` as a network file in int8, with its error over one view, to read only."""
    file = tmp_path_factory.mktemp("files") / "tiny.safetensors"
    exchange.export(tiny_run, "alexnet", file, int8=True, note="made in tests")
    return file


@pytest.fixture
def starter(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_file` in place of the starter network that comes with the package."""
    monkeypatch.setattr(locate, "STARTER_FILE", tiny_file)
    return tiny_file


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Hub":
    """A stand-in for the Hugging Face hub in place of the functions of huggingface_hub."""
    from tests.hub import Hub, put_in_place  # which few tests need, and their package takes a while to import

    hub = Hub(tmp_path / "hub")
    put_in_place(monkeypatch, hub)
    return hub


@pytest.fixture
def preparation_for() -> Callable[..., Preparation]:
    """A Preparation of given sizes with a random mean image and plausible colour statistics."""

    def make(size: int, input_size: int, seed: int = 0) -> Preparation:
        draw = np.random.default_rng(seed)
        vectors = np.linalg.qr(draw.normal(size=(3, 3)))[0]
        return Preparation(
            input_size,
            torch.from_numpy(draw.uniform(90, 140, (3, size, size)).astype(np.float32)),
            torch.tensor([14830.0, 1376.0, 389.0]),
            torch.from_numpy(vectors.astype(np.float32)),
        )

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; skips where mounting is not permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)  # lazily: a library may keep a file of it open
