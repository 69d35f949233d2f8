"""Labels for files, read in batches ahead of the network."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.evaluation import predict
from alexnet.training import trained
from alexnet.training.trained import TrainedNetwork
from tests.conftest import CLASSES, picture


@pytest.fixture
def network(tiny_run: Path) -> TrainedNetwork:
    return trained.load(tiny_run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(5)
    for number in range(7):
        Image.fromarray(picture(CLASSES[number % 4], draw)).save(tmp_path / f"{number}.png")
    (tmp_path / "3b.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize("batch", [1, 3, 8, 32])
def test_images_keep_their_order_whatever_the_batches(
    batch: int, network: TrainedNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", batch)
    found = list(predict.predictions(network, predict.find([str(folder)])))
    assert [Path(one.image).name for one in found] == sorted(file.name for file in folder.iterdir())
    assert [one.error is None for one in found] == [True] * 4 + [False] + [True] * 3
    for one in found:
        if one.pixels is not None:
            (wanted,) = network.probabilities(one.pixels[None], 10)
            label, probability = one.labels[0]
            assert label == network.classes[int(wanted.argmax())]
            np.testing.assert_allclose(probability, wanted.max().item(), rtol=1e-4)


def test_what_is_no_file_or_too_large_is_one_error_each(network: TrainedNetwork, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "zz.jpg").open("wb") as file:
        file.truncate(8 << 30)
    names = [
        "/dev/zero",
        str(tmp_path / "pipe.jpg"),
        str(tmp_path / "zz.jpg"),
        str(tmp_path / "gone.jpg"),
        str(tmp_path),
    ]
    assert [one.error for one in predict.predictions(network, iter(names))] == [
        "a pipe or a device, not a file",
        "a pipe or a device, not a file",
        "8.6 GB, more than the 600.0 MB that an image file may have",
        "No such file or directory",
        "no images in this folder",
    ]


def test_the_next_images_are_read_while_the_network_computes(
    network: TrainedNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", 2)
    read = {file.name: threading.Event() for file in folder.iterdir()}
    to_square = predict.to_square

    def noted(data: bytes, size: int) -> np.ndarray:
        read[next(file.name for file in folder.iterdir() if file.read_bytes() == data)].set()
        return to_square(data, size)

    def probabilities(images: np.ndarray, views: int) -> torch.Tensor:
        assert read["2.png"].wait(10)  # the third, while the network has the first two
        return torch.full((len(images), 4), 0.25)

    monkeypatch.setattr(predict, "to_square", noted)
    monkeypatch.setattr(network, "probabilities", probabilities)
    next(predict.predictions(network, predict.find([str(folder)])))


def test_nothing_to_read_gives_nothing(network: TrainedNetwork) -> None:
    assert list(predict.predictions(network, iter(()))) == []
