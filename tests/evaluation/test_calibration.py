"""Calibration by hand arithmetic: networks that say what they know, and ones that are too sure by a known temperature."""

import math

import numpy as np
import pytest
import torch

from alexnet.data.prepared import hold_out
from alexnet.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    Calibration,
    calibrate,
    expected_error,
    find_temperature,
    nll,
    reliability,
    scale,
)

SIX_OF_EIGHT = np.array([0, 0, 0, 0, 0, 0, 1, 1])
ENTROPY = -(3 * math.log(0.75) + math.log(0.25)) / 4
"""The least negative log-likelihood of an answer that is right three times in four."""


def always(*probabilities: float, images: int = 8) -> np.ndarray:
    return np.tile(np.array(probabilities, np.float32), (images, 1))


def calibrated(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    result = calibrate(probabilities, labels)
    assert result is not None
    return result


def test_a_network_that_is_right_as_often_as_it_says_needs_no_temperature() -> None:
    result = calibrated(always(0.75, 0.25), SIX_OF_EIGHT)
    assert (result.confidence, result.accuracy, result.error) == (75.0, 75.0, 0.0)
    assert result.temperature == pytest.approx(1, abs=1e-5) and result.nll == pytest.approx(ENTROPY)
    assert result.nll_after == pytest.approx(ENTROPY)


def test_a_network_that_is_too_sure_by_a_temperature_of_2() -> None:
    # Its logits are twice those of the odds 3 : 1, so the odds are 9 : 1.
    result = calibrated(always(0.9, 0.1), SIX_OF_EIGHT)
    assert result.error == pytest.approx(15) and result.confidence == pytest.approx(90)
    assert result.nll == pytest.approx(-(3 * math.log(0.9) + math.log(0.1)) / 4)
    assert [result.temperature, *(result.temperatures or [])] == pytest.approx([2, 2, 2], abs=1e-4)
    assert result.error_after == pytest.approx(0, abs=1e-3) and result.nll_after == pytest.approx(ENTROPY)
    assert scale(always(0.9, 0.1), 2) == pytest.approx(always(0.75, 0.25))


def test_a_network_that_is_not_sure_enough_has_a_temperature_under_1() -> None:
    odds = math.sqrt(3)
    assert find_temperature(always(odds / (1 + odds), 1 / (1 + odds)), SIX_OF_EIGHT) == pytest.approx(0.5, abs=1e-4)


def test_each_half_is_measured_with_the_temperature_of_the_other() -> None:
    # The odds are 3 : 1 in both halves; the first says 9 : 1, the second 3 : 1.
    probabilities = always(0.75, 0.25)
    first, second = hold_out(SIX_OF_EIGHT, 0.5, seed=0)
    probabilities[first] = 0.9, 0.1
    result = calibrated(probabilities, SIX_OF_EIGHT)
    assert result.temperatures == pytest.approx([2, 1], abs=1e-4)
    after = always(0.9, 0.1)  # by 1
    root = math.sqrt(3)
    after[second] = root / (1 + root), 1 / (1 + root)  # by 2
    assert result.nll_after == pytest.approx(nll(after, SIX_OF_EIGHT), abs=1e-4)
    assert result.error_after == pytest.approx((15 + 75 - 100 * root / (1 + root)) / 2, abs=1e-2)


def test_dividing_logits_is_what_scales_probabilities_and_the_best_temperature_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5000, 10, generator=generator)
    labels = torch.distributions.Categorical(logits=logits / 3).sample().numpy()
    probabilities = logits.softmax(dim=1).numpy()
    assert scale(probabilities, 1.7) == pytest.approx((logits / 1.7).softmax(dim=1).numpy(), abs=1e-6)
    best = find_temperature(probabilities, labels)
    assert best == pytest.approx(3, rel=0.05)
    least = nll(scale(probabilities, best), labels)
    assert all(least < nll(scale(probabilities, best * factor), labels) for factor in (0.97, 1.03))


def test_images_are_binned_by_confidence() -> None:
    first = np.array([0.5, 0.625, 0.75, 1.0, 1.0], np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    labels = np.array([0, 1, 0, 0, 1])
    bins = reliability(probabilities, labels, number=4)
    assert [(each.above, each.to) for each in bins] == [(0, 25), (25, 50), (50, 75), (75, 100)]
    assert [each.images for each in bins] == [0, 1, 2, 2], "a limit belongs to the bin below it"
    assert [each.confidence for each in bins] == [None, 50, 68.75, 100]
    assert [each.accuracy for each in bins] == [None, 100, 50, 50]
    assert expected_error(bins) == (1 * 50 + 2 * 18.75 + 2 * 50) / 5


def test_probabilities_of_0_have_a_likelihood_that_is_a_number() -> None:
    result = calibrated(always(1.0, 0.0), SIX_OF_EIGHT)
    assert math.isfinite(result.nll) and result.error == pytest.approx(25)
    assert HOTTEST > result.temperature > 1


def test_where_every_label_is_right_the_temperature_is_the_least_that_is_searched() -> None:
    assert find_temperature(always(0.9, 0.1), np.zeros(8, np.int64)) == pytest.approx(COLDEST, rel=1e-4)


def test_with_one_image_a_class_there_is_no_other_half() -> None:
    result = calibrated(always(0.9, 0.1, images=2), np.array([0, 1]))
    assert (result.temperatures, result.error_after, result.nll_after) == (None, None, None)


def test_of_a_network_that_diverged_there_is_no_calibration() -> None:
    assert calibrate(always(math.nan, math.nan), SIX_OF_EIGHT) is None
