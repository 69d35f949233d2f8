"""Whether class probabilities mean what they say: of images that are given a label with 80 %, are 80 % of it?

The reliability diagram and the expected calibration error compare how sure a network is with how often it is right
(Niculescu-Mizil and Caruana 2005; Guo et al. 2017). Temperature scaling (Guo et al. 2017) divides the logits by one number,
which changes how sure a network is and none of its labels. The logits are known up to a constant from one view's probabilities.
Of ten views there is only the mean of their probabilities: the temperature is then one on its logarithm.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from alexnet.data.prepared import hold_out

BINS = 15
"""As many as Guo et al. have"""
COLDEST, HOTTEST = 0.05, 20.0
"""The temperatures that are searched; one at an edge says that the images have none, as where every label is right"""
ROWS = 4096
"""Images at a time, to need little memory"""


@dataclass(frozen=True)
class Bin:
    """The images whose confidence, the probability of their first label, lies over `above` and up to `to`; all in percent."""

    above: float
    to: float
    images: int
    confidence: float | None
    """Their mean confidence; None without images"""
    accuracy: float | None
    """The share of them whose first label is right; None without images"""


@dataclass(frozen=True)
class Calibration:
    """How the confidence of class probabilities agrees with their accuracy, and what a temperature makes of it."""

    confidence: float
    """Mean over all images, in percent"""
    accuracy: float
    """Share of images whose first label is right, in percent"""
    error: float
    """Expected calibration error in points"""
    nll: float
    """Negative log-likelihood: the mean of -log p(label), in nats"""
    bins: list[Bin]
    temperature: float
    """What minimizes the negative log-likelihood of all images: over 1, the network is too sure; under 1, not sure enough"""
    temperatures: list[float] | None = None
    """Of each half of the images; None where there is one image a class, so no other half, as for the next two"""
    error_after: float | None = None
    """Expected calibration error in points, each half of the images scaled by the temperature of the other half"""
    nll_after: float | None = None
    """Their negative log-likelihood, in nats"""


def calibrate(probabilities: np.ndarray, labels: np.ndarray) -> Calibration | None:
    """The calibration of class probabilities float32 [N, classes] against labels int64 [N]; at least one image.

    None where some are no numbers, as those of a network that diverged.
    """
    if not np.isfinite(probabilities).all():
        return None
    bins = reliability(probabilities, labels)
    result = Calibration(
        confidence=100.0 * float(probabilities.max(axis=1).mean(dtype=np.float64)),
        accuracy=100.0 * float((probabilities.argmax(axis=1) == labels).mean()),
        error=expected_error(bins),
        nll=nll(probabilities, labels),
        bins=bins,
        temperature=find_temperature(probabilities, labels),
    )
    halves = hold_out(labels, 0.5, seed=0)
    if min(len(half) for half in halves) == 0:
        return result
    temperatures = [find_temperature(probabilities[half], labels[half]) for half in halves]
    after = np.empty_like(probabilities)
    for half, other in zip(halves, temperatures[::-1], strict=True):
        after[half] = scale(probabilities[half], other)
    error = expected_error(reliability(after, labels))
    return replace(result, temperatures=temperatures, error_after=error, nll_after=nll(after, labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray, number: int = BINS) -> list[Bin]:
    """Images in `number` bins of equal width by their confidence: class probabilities [N, classes], labels int64 [N]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * number).astype(np.int64) - 1, 0, number - 1)
    images, sure, hits = (np.bincount(place, each, number) for each in (np.ones(len(labels)), confidence, right))
    return [
        Bin(
            above=100.0 * k / number,
            to=100.0 * (k + 1) / number,
            images=int(images[k]),
            confidence=100.0 * float(sure[k] / images[k]) if images[k] else None,
            accuracy=100.0 * float(hits[k] / images[k]) if images[k] else None,
        )
        for k in range(number)
    ]


def expected_error(bins: list[Bin]) -> float:
    """Expected calibration error in points: the mean distance of accuracy and confidence over the images of all bins."""
    distances = [
        each.images * abs(each.accuracy - each.confidence)
        for each in bins
        if each.accuracy is not None and each.confidence is not None
    ]
    return sum(distances) / sum(each.images for each in bins)


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Negative log-likelihood in nats, the mean of -log p(label), of probabilities float32 [N, classes], labels int64 [N]."""
    return -float(_log(torch.from_numpy(probabilities[np.arange(len(labels)), labels])).mean(dtype=torch.float64))


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities float32 [N, classes] whose logarithms are divided by a temperature, so that they sum to 1 again."""
    blocks = torch.from_numpy(probabilities).split(ROWS)
    return torch.cat([(_log(block) / temperature).softmax(dim=1) for block in blocks]).numpy()


def find_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimizes the negative log-likelihood of `scale`d probabilities float32 [N, classes], labels [N].

    The likelihood's logarithm is concave in 1 / temperature, so its slope has one change of sign, which is found by halving
    an interval of log temperature.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(24):
        middle = (low + high) / 2
        if _slope(probabilities, labels, math.exp(-middle)) > 0:  # a smaller 1 / temperature is more likely
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _slope(probabilities: np.ndarray, labels: np.ndarray, inverse: float) -> float:
    """What the negative log-likelihood, summed over the images, grows by with 1 / temperature."""
    total = 0.0
    for block, true in zip(
        torch.from_numpy(probabilities).split(ROWS), torch.from_numpy(labels).split(ROWS), strict=True
    ):
        logs = _log(block)
        expected = (logs * (logs * inverse).softmax(dim=1)).sum(dim=1)
        total += float((expected - logs.gather(1, true[:, None])[:, 0]).sum(dtype=torch.float64))
    return total


def _log(probabilities: torch.Tensor) -> torch.Tensor:
    """The logarithm, also of what was rounded to 0."""
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
