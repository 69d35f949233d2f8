"""How much colour a kernel holds, and how well two groups are told apart by it: against values worked out by hand."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from alexnet.insight.kernels import colour, separation


def kernel(red: float, green: float, blue: float) -> Tensor:
    """One 1x1 kernel."""
    return torch.tensor([red, green, blue]).reshape(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "share"),
    [
        ((1, 1, 1), 0),
        ((-2, -2, -2), 0),
        ((0, 0, 0), 0),
        # One channel alone: its mean over the three is 1/3, and 1 − 3·(1/3)² = 2/3.
        ((1, 0, 0), 2 / 3),
        # Sums to nothing: only colour.
        ((1, -1, 0), 1),
        ((2, -1, -1), 1),
        # 1 − 3·1² / (9 + 0 + 0): mean 1 of (3, 0, 0).
        ((3, 0, 0), 2 / 3),
        # Mean 2 of (1, 2, 3): 1 − 3·4/14.
        ((1, 2, 3), 1 - 12 / 14),
    ],
)
def test_share_of_colour(rgb: tuple[float, float, float], share: float) -> None:
    assert colour(kernel(*rgb)).tolist() == [pytest.approx(share, abs=1e-6)]


def test_a_kernel_of_several_weights_shares_its_energy() -> None:
    # A grey weight of energy 3 beside a coloured one of energy 2: 2/5.
    both = torch.cat([kernel(1, 1, 1), kernel(1, -1, 0)], dim=3)
    assert colour(both).tolist() == [pytest.approx(2 / 5)]


def test_scale_and_sign_of_a_kernel_do_not_matter() -> None:
    weight = torch.randn(8, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(colour(weight), colour(-1e-4 * weight))
    torch.testing.assert_close(colour(weight), colour(1e4 * weight))
    assert colour(weight.bfloat16()).dtype == torch.float32


def test_noise_has_two_thirds() -> None:
    weight = torch.randn(200, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    share = colour(weight)
    assert share.shape == (200,) and abs(float(share.mean()) - 2 / 3) < 0.01
    assert ((share >= 0) & (share <= 1)).all()


def test_a_grey_image_reads_nothing_from_a_kernel_of_colour_alone() -> None:
    """What the measure means: with a share of 1 the response to every grey image is 0."""
    weight = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    weight -= weight.mean(dim=1, keepdim=True)
    assert colour(weight).tolist() == [pytest.approx(1)]
    grey = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(1)).expand(1, 3, 5, 5)
    assert abs(float(torch.nn.functional.conv2d(grey, weight))) < 1e-5


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ([1.0, 2.0], [3.0, 4.0], 1.0),
        ([3.0, 4.0], [1.0, 2.0], 1.0),
        ([1.0, 4.0], [2.0, 3.0], 0.0),
        ([1.0, 1.0], [1.0, 1.0], 0.0),
        # Of four pairs three lie one way: |2·3/4 − 1|.
        ([1.0, 3.0], [2.0, 4.0], 0.5),
        # A tie counts half: 3.5 of 4.
        ([1.0, 2.0], [2.0, 3.0], 0.75),
        ([5.0], [1.0, 2.0, 9.0], 1 / 3),
    ],
)
def test_separation(first: list[float], second: list[float], wanted: float) -> None:
    assert separation(torch.tensor(first), torch.tensor(second)) == pytest.approx(wanted)


def test_separation_is_mann_whitneys() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(0, 1, 48).astype(np.float32), draw.normal(0.7, 1, 48).astype(np.float32)
    u = stats.mannwhitneyu(first, second).statistic
    wanted = abs(2 * u / (len(first) * len(second)) - 1)
    assert separation(torch.from_numpy(first), torch.from_numpy(second)) == pytest.approx(wanted, abs=1e-6)
