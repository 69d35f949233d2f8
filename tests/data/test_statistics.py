import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.statistics import Sums, products_of


def images(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def sums_of(batch: np.ndarray) -> Sums:
    sums = Sums(batch.shape[1])
    for image in batch:
        sums.add(image)
    return sums


def test_mean_image_and_covariance_are_numpys() -> None:
    batch = images(7, 5, seed=1)
    sums = sums_of(batch)
    assert sums.mean_image().dtype == np.float32
    np.testing.assert_allclose(sums.mean_image(), batch.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(sums.colour().covariance, np.cov(batch.reshape(-1, 3).T, bias=True), rtol=1e-10)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1), st.randoms())
def test_the_order_of_the_images_does_not_matter(count: int, size: int, seed: int, random) -> None:
    batch = images(count, size, seed)
    shuffled = list(batch)
    random.shuffle(shuffled)
    assert sums_of(batch).to_bytes() == sums_of(np.array(shuffled)).to_bytes()


def test_components_explain_the_covariance_largest_first_with_a_fixed_sign() -> None:
    mixing = np.array([[60, 5, 0], [50, -10, 4], [55, 8, -6]])
    pixels = 128 + np.random.default_rng(0).normal(0, 0.5, (50, 8, 8, 3)) @ mixing.T
    colour = sums_of(pixels.clip(0, 255).astype(np.uint8)).colour()
    assert (np.diff(colour.eigenvalues) < 0).all()
    for eigenvalue, column in zip(colour.eigenvalues, colour.eigenvectors.T, strict=True):
        np.testing.assert_allclose(colour.covariance @ column, eigenvalue * column, atol=1e-9 * colour.eigenvalues[0])
        assert np.linalg.norm(column) == pytest.approx(1)
        assert column[np.abs(column).argmax()] > 0


def test_a_grey_set_has_no_negative_eigenvalues() -> None:
    grey = np.repeat(images(3, 6, seed=3)[..., :1], 3, axis=3)
    eigenvalues = sums_of(grey).colour().eigenvalues
    assert eigenvalues[0] > 0
    assert (eigenvalues >= 0).all()
    np.testing.assert_allclose(eigenvalues[1:], 0, atol=1e-9 * eigenvalues[0])


def test_products_are_exact_for_the_brightest_large_image() -> None:
    # Single precision would lose these units.
    white = np.full((601, 603, 3), 255, np.uint8)
    white[0, 0] = 254, 253, 252
    expected = 255**2 * (601 * 603 - 1)
    assert products_of(white)[0, 0] == expected + 254 * 254
    assert products_of(white)[1, 2] == expected + 253 * 252


def test_sums_come_back_from_disk(tmp_path) -> None:
    batch = images(5, 4, seed=5)
    whole, part = sums_of(batch), sums_of(batch[:2])
    (tmp_path / "sums.npy").write_bytes(part.to_bytes())
    resumed = Sums.load(tmp_path / "sums.npy", 4)
    for image in batch[2:]:
        resumed.add(image)
    assert resumed.images == 5
    assert resumed.to_bytes() == whole.to_bytes()


def test_many_white_images_are_summed_exactly() -> None:
    # More than 16 bits hold of the brightest.
    sums = sums_of(np.full((600, 2, 2, 3), 255, np.uint8))
    assert (sums.image_sum == 600 * 255).all()
    assert sums.mean_image().tolist() == np.full((2, 2, 3), 255.0).tolist()


def test_sums_in_two_parts_are_the_sums_of_all() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 5, 5, 3), np.uint8)  # more than 16 bits hold
    whole, first, second = Sums(5), Sums(5), Sums(5)
    for number, image in enumerate(images):
        whole.add(image)
        (first if number < 300 else second).add(image)
    first.take_over(second)
    assert first.to_bytes() == whole.to_bytes()
