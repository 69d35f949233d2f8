"""Batches read ahead by a thread, and images in the memory of a device."""

import threading
import time

import numpy as np
import pytest
import torch

from alexnet.data.loader import read_ahead, resident
from alexnet.errors import InputError


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_reading_ahead_yields_every_batch_in_order(number: int, ahead: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(20, dtype=np.int32)
    batches = [np.array([part, 19 - part, part]) for part in range(number)]
    result = list(read_ahead(images, labels, batches, torch.device("cpu"), ahead))
    assert len(result) == number
    for (pixels, target), indices in zip(result, batches, strict=True):
        assert pixels.dtype == torch.uint8 and target.dtype == torch.int64
        np.testing.assert_array_equal(pixels.numpy(), images[indices])
        np.testing.assert_array_equal(target.numpy(), indices)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_an_error_of_the_reader_reaches_the_caller() -> None:
    images = np.zeros((4, 2, 2, 3), np.uint8)
    batches = [np.array([0, 1]), np.array([2, 99]), np.array([3])]
    reading = read_ahead(images, np.zeros(4, np.int64), batches, torch.device("cpu"))
    assert next(reading)[0].shape == (2, 2, 2, 3)
    with pytest.raises(IndexError):
        next(reading)
    assert not readers()


def test_a_caller_that_stops_early_leaves_no_thread_and_nothing_more_is_read() -> None:
    read: list[int] = []

    class Images:
        def __getitem__(self, indices: np.ndarray) -> np.ndarray:
            read.append(int(indices[0]))
            time.sleep(0.02)
            return np.zeros((len(indices), 2, 2, 3), np.uint8)

    batches = [np.array([part]) for part in range(100)]
    reading = read_ahead(Images(), np.zeros(100, np.int64), batches, torch.device("cpu"), ahead=10)  # type: ignore[arg-type]
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert not readers()
    assert len(read) < 10


def test_no_more_is_held_than_was_asked_for() -> None:
    read: list[int] = []

    class Images:
        def __getitem__(self, indices: np.ndarray) -> np.ndarray:
            read.append(int(indices[0]))
            return np.zeros((len(indices), 2, 2, 3), np.uint8)

    batches = [np.array([part]) for part in range(20)]
    for taken, _ in enumerate(read_ahead(Images(), np.zeros(20, np.int64), batches, torch.device("cpu"), ahead=2), 1):  # type: ignore[arg-type]
        assert len(read) <= taken + 2


def test_a_resident_split_gives_the_same_batches_without_reading() -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (1100, 4, 4, 3), dtype=np.uint8)  # more than are brought over at a time
    labels = draw.integers(0, 7, 1100).astype(np.int32)
    batches = [draw.permutation(1100)[:number] for number in (64, 64, 1, 33)]
    cpu = torch.device("cpu")
    resident_split = resident(images, labels, cpu, "yes")
    assert resident_split is not None
    result = [(resident_split.images[indices], labels) for indices, labels in resident_split.batches(batches)]
    plain = list(read_ahead(images, labels, batches, cpu))
    assert len(result) == len(plain) == 4
    for reference, other in zip(result, plain, strict=True):
        for a, b in zip(reference, other, strict=True):
            assert torch.equal(a, b) and a.dtype == b.dtype
    assert list(resident_split.batches([])) == []
    # Whoever reads ahead from there reads nothing.
    for reference, other in zip(read_ahead(resident_split.images, labels, batches, cpu), plain, strict=True):
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(reference, other, strict=True))


def test_a_split_is_resident_only_where_it_fits_beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, gpu = np.zeros((100, 10, 10, 3), np.uint8), np.zeros(100, np.int64), torch.device("cuda")
    assert resident(images, labels, torch.device("cpu")) is None
    assert resident(images, labels, gpu, "no") is None
    plain_empty, plain_from = torch.empty, torch.from_numpy

    class There:  # a tensor of the CPU that is asked to go to the GPU
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def to(self, device: torch.device) -> torch.Tensor:
            return plain_from(self.array)

    monkeypatch.setattr(torch, "empty", lambda shape, dtype, device: plain_empty(shape, dtype=dtype))
    for free, fits in ((29_000, False), (54_999, False), (55_000, True), (100_000, True)):
        # 30,000 bytes of images, and 25,000 that stay free of 100,000.
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 100_000))
        with monkeypatch.context() as patch:
            patch.setattr(torch, "from_numpy", lambda a: There(a) if a.ndim == 1 else plain_from(a))
            assert (resident(images, labels, gpu) is not None) is fits


def test_a_split_that_must_be_resident_and_does_not_fit_is_refused() -> None:
    class Huge:
        shape = (1 << 40, 256, 256, 3)

    with pytest.raises(InputError, match="--resident yes.*no room for"):
        resident(Huge(), np.zeros(0), torch.device("cpu"), "yes")  # type: ignore[arg-type]
