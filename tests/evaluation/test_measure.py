"""Errors against hand-made probabilities: a network whose logits are written in the pictures (§6)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.data.augment import Preparation
from alexnet.errors import InputError
from alexnet.evaluation.measure import Count, Evaluation, evaluate
from alexnet.run.views import view_probabilities


class Written(nn.Module):
    """Logits [N, classes] are the first row's red values, minus the middle of the scale, times 0.1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        return (images[:, 0, 0, : self.classes] - 128.0) / 10.0


def preparation(size: int, input_size: int | None = None) -> Preparation:
    return Preparation(input_size or size, torch.zeros(3, size, size), torch.zeros(3), torch.eye(3))


def pictures(logits: list[list[int]], size: int = 8) -> np.ndarray:
    """uint8 [N, size, size, 3] in which `Written` reads the order of `logits`; at most `size` classes."""
    images = np.zeros((len(logits), size, size, 3), np.uint8)
    for image, row in zip(images, logits, strict=True):
        image[0, : len(row), 0] = np.array(row) + 128
    return images


def measured(
    logits: list[list[int]],
    labels: list[int],
    indices: list[int] | None = None,
    batch: int = 128,
    confusion: bool = False,
) -> Evaluation:
    classes = tuple("abcdefgh"[: len(logits[0])])
    chosen = None if indices is None else np.array(indices, dtype=np.int64)
    network = Written(len(classes)).eval()
    return evaluate(
        network, preparation(8), pictures(logits), np.array(labels), classes, chosen, batch=batch, confusion=confusion
    )


SIX = [
    [60, 50, 40, 30, 20, 10],  # first a, sixth f
    [60, 50, 40, 30, 20, 10],
    [10, 20, 30, 40, 50, 60],  # first f, sixth a
    [10, 20, 30, 40, 50, 60],
    [20, 60, 50, 40, 30, 10],  # first b
]


def test_top1_and_top5_errors_by_hand() -> None:
    # First: right, wrong, wrong, wrong, right. Among five: yes, no, no, yes, yes.
    result = measured(SIX, [0, 5, 0, 4, 1])
    assert result.top1_error == 60.0
    assert result.top5_error == 40.0
    assert (result.images, result.views) == (5, 1)


def test_per_class_and_confusion_sums() -> None:
    labels = [0, 5, 0, 4, 1]
    result = measured(SIX, labels, confusion=True)
    assert [row["label"] for row in result.per_class] == list("abcdef")
    assert [row["images"] for row in result.per_class] == [2, 1, 0, 0, 1, 1]
    assert [row["top1_error"] for row in result.per_class] == [50.0, 0.0, None, None, 100.0, 100.0]
    assert [row["top5_error"] for row in result.per_class] == [50.0, 0.0, None, None, 0.0, 100.0]
    assert [row["precision"] for row in result.per_class] == [50.0, 100.0, None, None, None, 0.0], "None: given to none"
    assert [row["recall"] for row in result.per_class] == [50.0, 100.0, None, None, 0.0, 0.0]
    wanted = np.zeros((6, 6), int)
    for true, predicted in zip(labels, [0, 0, 5, 5, 1], strict=True):
        wanted[true, predicted] += 1
    assert result.confusion == wanted.tolist()
    assert measured(SIX, labels) == replace(result, confusion=None), "training asks for none"


def test_of_very_many_classes_there_is_no_confusion_matrix() -> None:
    for number, there in ((1000, True), (1001, False)):
        count = Count(tuple(map(str, range(number))), confusion=True)
        count.add(torch.eye(number)[:3], np.array([0, 1, 9]))
        result = count.evaluation(1)
        assert (result.confusion is not None) == there
        assert result.top1_error == pytest.approx(100 / 3) and result.per_class[9]["top1_error"] == 100.0


def test_with_fewer_than_five_classes_the_top5_error_is_zero() -> None:
    result = measured([[1, 2, 3], [3, 2, 1]], [0, 0])
    assert result.top1_error == 50.0
    assert result.top5_error == 0.0


def test_only_the_images_at_the_indices_count() -> None:
    assert measured(SIX, [0, 5, 0, 4, 1], [0, 4]).top1_error == 0.0
    assert measured(SIX, [0, 5, 0, 4, 1], [1, 2, 3]).top1_error == 100.0


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
def test_the_result_does_not_depend_on_the_batch_size(batch: int) -> None:
    assert measured(SIX, [0, 5, 0, 4, 1], batch=batch) == measured(SIX, [0, 5, 0, 4, 1])


def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    network = Written(6).eval()
    labels = np.array([0, 5, 0, 4, 1])
    evaluate(
        network, preparation(8), pictures(SIX), labels, tuple("abcdef"), batch=2, progress=lambda *now: seen.append(now)
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


class InTurn(nn.Module):
    """Gives the rows of `logits` [views, classes], one a call."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.calls = logits, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.logits[self.calls - 1 : self.calls]


def test_probabilities_are_averaged_not_logits() -> None:
    # Six views lean to the first class, four are sure of the second: the means disagree.
    logits = torch.tensor([[2.0, 0.0]] * 6 + [[-9.0, 0.0]] * 4)
    result = view_probabilities(InTurn(logits), torch.zeros(1, 8, 8, 3, dtype=torch.uint8), preparation(8, 6), 10)
    wanted = np.exp(2.0) / (np.exp(2.0) + 1), np.exp(-9.0) / (np.exp(-9.0) + 1)
    np.testing.assert_allclose(result[0, 0].item(), 0.6 * wanted[0] + 0.4 * wanted[1], rtol=1e-5)
    assert result.argmax() == 0 and logits.mean(dim=0).argmax() == 1


def test_ten_views_see_the_ten_crops() -> None:
    # An 8x8 picture, crops of 6: the first row of a corner view starts at row 0 or 2, column 0 or 2, or is mirrored.
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[0, 0, :, 0] = [200, 10, 20, 30, 40, 50, 60, 70]
    network, total = Written(6).eval(), torch.zeros(1, 6)
    for mirrored in (False, True):
        for top, left in [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]:
            row = images[0, top, left : left + 6, 0].astype(np.float32)
            row = row[::-1] if mirrored else row
            total += torch.from_numpy((row - 128.0) / 10.0).softmax(dim=0)
    result = view_probabilities(network, torch.from_numpy(images), preparation(8, 6), 10)
    torch.testing.assert_close(result, total / 10)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="no images"):
        measured(SIX, [0, 5, 0, 4, 1], [])


@pytest.mark.parametrize("label", [-1, 6])
def test_labels_beyond_the_classes_are_refused(label: int) -> None:
    with pytest.raises(InputError, match="beyond the 6 classes"):
        measured(SIX, [0, 5, 0, label, 1])


def test_a_network_of_other_classes_is_refused() -> None:
    with pytest.raises(InputError, match="the network has 6 classes, the data 3"):
        evaluate(Written(6).eval(), preparation(8), pictures(SIX), np.zeros(5, np.int64), ("a", "b", "c"))


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    result = measured(SIX, [0, 5, 0, 4, 1])
    result.save(tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result.to_dict()
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]
