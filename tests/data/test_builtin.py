import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import builtin
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError


def painted(name: str, split: str, number: int) -> np.ndarray:
    """bool [H, W]: the pixels that any patch of the split shows."""
    mask = np.zeros(builtin.photograph(name).shape[:2], bool)
    for top, left, side in builtin.patches(name, split, number):
        assert 0 <= top <= top + side <= mask.shape[0]
        assert 0 <= left <= left + side <= mask.shape[1]
        mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize("name", builtin.FILES)
def test_no_training_patch_touches_a_test_patch(name: str) -> None:
    train, test = painted(name, "train", 300), painted(name, "test", 60)
    assert not (train & test).any()
    # And both halves are really used.
    assert test[builtin.is_test(name)].mean() > 0.4
    assert train[~builtin.is_test(name)].mean() > 0.6


@pytest.mark.parametrize("name", builtin.FILES)
def test_test_blocks_are_spread_over_the_photograph(name: str) -> None:
    test = builtin.is_test(name)
    assert 0.12 < test.mean() < 0.35
    rows, columns = np.flatnonzero(test.any(1)), np.flatnonzero(test.any(0))
    assert np.ptp(rows) > 0.6 * test.shape[0]
    assert np.ptp(columns) > 0.6 * test.shape[1]


def test_patches_are_pixels_of_their_photograph_and_named_apart() -> None:
    source = open_source("builtin")
    assert source.classes == tuple(sorted(builtin.FILES))
    for split, number in (("train", 300), ("test", 60)):
        items = list(source.items(split))
        assert source.count(split) == len(items) == 13 * number
        assert np.bincount([item.label for item in items]).tolist() == [number] * 13
        assert len({item.name for item in items}) == len(items)
        for item in items[:: number // 4]:
            patch = item.read()
            assert isinstance(patch, np.ndarray)
            assert patch.dtype == np.uint8
            assert patch.shape[0] == patch.shape[1]
            assert 48 <= patch.shape[0] <= 96
            name, _, x, y, side = re.split("[/-]", item.name)
            top, left = int(y.removeprefix("y")), int(x.removeprefix("x"))
            assert side == f"side{len(patch)}"
            assert (builtin.photograph(name)[top : top + len(patch), left : left + len(patch)] == patch).all()
            assert source.classes[item.label] == name


def test_it_is_the_same_every_time() -> None:
    first, second = ([item.name for item in builtin.Photographs().items("train")] for _ in range(2))
    assert first == second
    assert first[:2] == ["astronaut/000-x201-y383-side48", "astronaut/001-x403-y383-side64"]  # on every machine
    assert builtin.Photographs().fingerprint() == builtin.Photographs().fingerprint()
    assert builtin.Photographs(train_patches=10).fingerprint() != builtin.Photographs().fingerprint()


def test_grey_textures_have_three_equal_channels() -> None:
    for name in ("brick", "grass", "gravel"):
        image = builtin.photograph(name)
        assert (image == image[..., :1]).all()


def test_no_retina_patch_is_black() -> None:
    items = builtin.Photographs().items("train")
    assert min(item.read().mean() for item in items if item.name.startswith("retina")) > 20


def test_prepared_at_its_own_size(tmp_path: Path) -> None:
    result = prepare(builtin.Photographs(train_patches=6, test_patches=2), tmp_path)
    assert result.size == 64
    assert result.splits == ("train", "test")
    assert result.split("val").images.shape == (26, 64, 64, 3)
    assert result.manifest["splits"]["train"]["skipped"] == []


def test_a_missing_photograph_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builtin.FILES, "astronaut", ("skimage", "data/no-such.png"))
    with pytest.raises(InputError, match="skimage"):
        builtin.Photographs().fingerprint()


def test_colour_alone_does_not_solve_it() -> None:
    file = Path(__file__).parents[2] / "benchmarks/builtin_baselines.py"
    spec = importlib.util.spec_from_file_location("builtin_baselines", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    errors = module.baselines()
    # The figures in the docstring of builtin.py, with room for other versions of scikit-learn.
    assert errors["nearest class mean colour"] == pytest.approx(47.4, abs=3)
    assert errors["logistic regression on the mean colour"] == pytest.approx(35.1, abs=3)
    assert errors["logistic regression on 8x8 thumbnails"] == pytest.approx(45.3, abs=4)
