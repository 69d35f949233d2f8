"""What classifiers that see no shapes make of the built-in photographs: the figures of alexnet/data/builtin.py.

python benchmarks/builtin_baselines.py
"""

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alexnet.data.builtin import Photographs
from alexnet.data.image import to_square


def baselines() -> dict[str, float]:
    """Test error in % of two classifiers that see no shapes: what a network must beat to have learned any."""
    source = Photographs()
    labels = {split: np.array([item.label for item in source.items(split)]) for split in source.splits}
    # Through 64 first, as a network sees them.
    thumbs = {
        split: np.stack([to_square(to_square(item.read(), 64), 8).ravel() for item in source.items(split)]) / 255
        for split in source.splits
    }
    colours = {split: thumbs[split].reshape(-1, 64, 3).mean(1) for split in source.splits}
    errors = {}
    for what, model, features in (
        ("nearest class mean colour", NearestCentroid(), colours),
        (
            "logistic regression on the mean colour",
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            colours,
        ),
        (
            "logistic regression on 8x8 thumbnails",
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            thumbs,
        ),
    ):
        model.fit(features["train"], labels["train"])
        errors[what] = 100 * (1 - model.score(features["test"], labels["test"]))
    return errors


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for what, error in baselines().items():
        print(f"{what}: {error:.1f}% test error")
