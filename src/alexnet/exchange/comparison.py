"""How far a network and another program's form of it are apart."""

from dataclasses import dataclass

from torch import Tensor

TOLERANCE = 1e-4
"""The largest difference of a probability, and of a logit as a share of the largest logit, that is called the same."""


@dataclass(frozen=True)
class Difference:
    """The largest difference of a probability, and of a logit as a share of the largest logit."""

    probability: float
    logit: float

    @property
    def allowed(self) -> bool:
        """Whether both are within TOLERANCE; NaN is not."""
        return self.probability <= TOLERANCE and self.logit <= TOLERANCE

    def __str__(self) -> str:
        return f"probabilities differ by {self.probability:.1e} at most, logits by {self.logit:.1e} of the largest"

    def to_dict(self) -> dict[str, float]:
        """Plain values, ready for JSON."""
        return {"probability_difference": self.probability, "logit_difference": self.logit}


def difference(logits: Tensor, wanted: Tensor) -> Difference:
    """Return how far `logits` [N, classes] are from the `wanted` ones."""
    return Difference(
        float((logits.softmax(1) - wanted.softmax(1)).abs().max()),
        float((logits - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30)),
    )
