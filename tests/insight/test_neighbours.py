"""Nearest neighbours in fc7: exact whatever the blocks, and features that are kept, gone on with and thrown away."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.data.prepared import Prepared, Split
from alexnet.errors import InputError
from alexnet.insight import features as kept_features
from alexnet.insight import layers, neighbours, search
from alexnet.insight.neighbours import Neighbours, Queries
from alexnet.insight.search import nearest
from alexnet.network.model import AlexNet
from alexnet.run import trained as trained_networks
from alexnet.run.images import validation_of
from alexnet.run.trained import TrainedNetwork

# the search ----------------------------------------------------------------------------------------------------------


def by_force(queries: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances by direct sums in float64, rounded to float32, in the order of (distance, index)."""
    apart = queries.double()[:, None] - rows.double()[None]
    values, order = apart.square().sum(dim=2).sqrt().float().sort(dim=1, stable=True)
    return values[:, :count], order[:, :count]


def rows_of(number: int, features: int, seed: int = 0) -> Tensor:
    """As features are: none below 0, many of them 0."""
    return torch.randn(number, features, generator=torch.Generator().manual_seed(seed)).relu()


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("features", [3, 70])
def test_the_nearest_rows_are_those_of_a_direct_sum_in_float64(block: int, features: int) -> None:
    rows, queries = rows_of(300, features), rows_of(9, features, seed=1)
    distances, indices = nearest(queries, rows.split(block), 6)
    expected, where = by_force(queries, rows, 6)
    assert indices.tolist() == where.tolist()
    torch.testing.assert_close(distances, expected, rtol=1e-6, atol=0)
    assert distances.dtype == torch.float32 and indices.dtype == torch.int64


def test_features_in_pieces_are_as_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PIECE", 16)
    monkeypatch.setattr(search, "_PAIRS", 100)  # candidates one at a time
    rows, queries = rows_of(200, 70), rows_of(5, 70, seed=1)
    assert nearest(queries, rows.split(33), 4)[1].tolist() == by_force(queries, rows, 4)[1].tolist()


def test_rows_that_a_float32_product_cannot_tell_apart_are_told_apart() -> None:
    # Far from zero, |q|² - 2qx + |x|² loses what makes the difference.
    rows = 1000 + rows_of(200, 40) / 100
    queries = 1000 + rows_of(4, 40, seed=1) / 100
    plain = (queries.square().sum(1)[:, None] - 2 * queries @ rows.T + rows.square().sum(1)).sort(dim=1).indices
    expected = by_force(queries, rows, 5)[1]
    assert plain[:, :5].tolist() != expected.tolist()
    assert nearest(queries, rows.split(64), 5)[1].tolist() == expected.tolist()


def test_copies_come_in_the_order_of_their_indices() -> None:
    rows = rows_of(10, 20).repeat(30, 1)  # row k is row k % 10
    distances, indices = nearest(rows[[3, 7]], rows.split(37), 40)
    assert indices[0, :30].tolist() == list(range(3, 300, 10))
    assert indices[1, :30].tolist() == list(range(7, 300, 10))
    assert (distances[:, :30] == 0).all() and (distances[:, 30:] > 0).all()


def test_fewer_rows_than_asked_for_are_all_returned() -> None:
    rows, queries = rows_of(5, 8), rows_of(2, 8, seed=1)
    blocks = [rows[:2], rows[:0], rows[2:]]
    distances, indices = nearest(queries, blocks, 9)
    assert indices.shape == distances.shape == (2, 5)
    assert indices.tolist() == by_force(queries, rows, 9)[1].tolist()
    assert nearest(queries, [], 3)[1].shape == (2, 0)


def test_pixels_are_as_good_as_features() -> None:
    pixels = torch.randint(0, 256, (120, 300), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest(pixels[:3].float(), pixels.split(50), 4)
    expected, where = by_force(pixels[:3], pixels, 4)
    assert indices.tolist() == where.tolist() and distances[:, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(distances, expected, rtol=1e-6, atol=0)


def test_rows_that_are_no_numbers_come_last() -> None:
    rows = rows_of(6, 8)
    rows[2, 3] = torch.nan
    distances, indices = nearest(rows[:1], rows.split(4), 6)
    assert indices[0, -1] == 2 and distances[0, :-1].isfinite().all()


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        nearest(rows_of(2, 4), [rows_of(3, 4)], 0)
    with pytest.raises(ValueError, match=r"\[B, 4\]"):
        nearest(rows_of(2, 4), [rows_of(3, 5)], 1)


# features that are kept ----------------------------------------------------------------------------------------------


@pytest.fixture
def network(tiny_run: Path, tmp_path: Path) -> TrainedNetwork:
    """The tiny run's network, from a copy of its folder."""
    return trained_networks.load(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "BATCH", 20)


def features(network: TrainedNetwork, data: Prepared, **options: object) -> Tensor:
    blocks = kept_features.features_of_split(network, data, "train", **options)  # type: ignore[arg-type]
    return torch.cat(list(blocks))


def test_features_are_the_networks_and_are_computed_once(network: TrainedNetwork, tiny_prepared: Prepared) -> None:
    images = tiny_prepared.split("train").images[:]
    with torch.inference_mode():
        expected = network.network.features(network.prepare(images))
    calls: list[tuple[int, int]] = []
    first = features(network, tiny_prepared, progress=lambda *now: calls.append(now))
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-4)
    assert calls[-1] == (96, 96) and len(calls) == 5
    again = features(network, tiny_prepared, progress=lambda *now: pytest.fail("computed again"))
    assert torch.equal(again, first)
    mapped = np.memmap(network.path / "features" / f"train-{network.checkpoint}.bin", np.float32, "r")
    assert np.array_equal(mapped.reshape(96, -1), first.numpy())


def test_kept_features_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_features, "_BLOCK", 1 << 24)
    for features in (3, 4096):
        rows = rows_of(2500, features)
        rows.numpy().tofile(tmp_path / "rows.bin")
        blocks = list(kept_features._read(tmp_path / "rows.bin", features))
        assert torch.equal(torch.cat(blocks), rows), "blocks that were read before are there still"
    assert [len(block) for block in blocks] == [1024, 1024, 452]


class Stopped(Exception):
    pass


def test_a_search_that_was_stopped_goes_on(network: TrainedNetwork, tiny_prepared: Prepared) -> None:
    whole = features(network, tiny_prepared, keep=False)
    assert not (network.path / "features").exists(), "keep=False writes nothing"

    def stop(done: int, total: int) -> None:
        if done == 40:
            raise Stopped

    with pytest.raises(Stopped):
        features(network, tiny_prepared, progress=stop)
    part = network.path / "features" / f"train-{network.checkpoint}.part"
    assert part.stat().st_size == 40 * 4 * whole.shape[1]
    with part.open("ab") as file:
        file.write(b"half a row")
    calls: list[int] = []
    assert torch.equal(features(network, tiny_prepared, progress=lambda done, total: calls.append(done)), whole)
    assert calls == [60, 80, 96] and not part.exists()


def test_features_of_other_weights_or_images_are_computed_anew(
    network: TrainedNetwork, tiny_prepared: Prepared
) -> None:
    first = features(network, tiny_prepared)
    with torch.no_grad():
        network.network.get_parameter("fc5.weight").mul_(2)
    second = features(network, tiny_prepared)
    assert not torch.equal(first, second), "same checkpoint's name, other weights"
    calls: list[int] = []
    checksums = tiny_prepared.manifest["splits"]["train"]["checksums"][0]
    before = checksums["sha256"]
    try:
        checksums["sha256"] = "of other images"
        features(network, tiny_prepared, progress=lambda done, total: calls.append(done))
    finally:
        checksums["sha256"] = before
    assert calls[-1] == 96
    network.checkpoint = "step-99999999"
    features(network, tiny_prepared)
    names = {file.name for file in (network.path / "features").iterdir()}
    assert names == {"train-step-99999999.bin", "train-step-99999999.json"}, "those of the older checkpoint are gone"


def test_a_full_disk_is_named_before_it_is_full(
    network: TrainedNetwork, tiny_prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_features.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1))
    with pytest.raises(InputError, match="--no-keep"):
        features(network, tiny_prepared)
    assert len(features(network, tiny_prepared, keep=False)) == 96


# similar images ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_held_out_images_are_no_training_images(network: TrainedNetwork, tiny_prepared: Prepared, keep: bool) -> None:
    split, held_out = validation_of(network.recipe, tiny_prepared)
    searched = neighbours.searched_of(network.recipe, tiny_prepared, "train")
    assert len(searched) + len(held_out) == 96 and not set(searched) & set(held_out)
    known = int(searched[30])
    queries = split.images[[known, int(held_out[0])]]
    near = neighbours.search(network, queries, tiny_prepared, count=5, keep=keep)
    assert near.indices[0, 0] == known and near.distances[0, 0] < 1e-3
    assert not set(near.indices.flatten().tolist()) & set(held_out.tolist())
    assert near.searched == 72
    every = features(network, tiny_prepared, keep=False)
    expected = by_force(torch.cat(list(kept_features.features_of(network, queries))), every[searched], 5)[1]
    assert near.indices.tolist() == searched[expected.numpy()].tolist()


def test_other_splits_and_no_neighbours_are_refused(network: TrainedNetwork, tiny_prepared: Prepared) -> None:
    images = tiny_prepared.split("train").images[:1]
    with pytest.raises(InputError, match="has no split 'test'; it has train"):
        neighbours.search(network, images, tiny_prepared, "test")
    with pytest.raises(InputError, match="--count 0"):
        neighbours.search(network, images, tiny_prepared, count=0)


# the picture ---------------------------------------------------------------------------------------------------------


def test_neighbours_of_the_right_class_are_marked(network: TrainedNetwork) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    split = Split("train", images, np.array([0, 1, 0, 1, 0, 1]), ("cat", "dog"), [f"{k}.png" for k in range(6)])
    near = Neighbours(torch.tensor([[1.0, 2.5, 123.4]] * 2), torch.tensor([[0, 1, 2], [3, 4, 5]]), 6)
    for classes, marked in ((["cat", "cat"], 3), (["cat", None], 2), ([None, None], 0)):
        queries = Queries(images[:2], ["one.png", "x/two.png"], classes)
        page = neighbours.figure(network, queries, near, split, "6 images").axes[0]
        lines = [box for box in page.patches if box.get_width() == neighbours._SIDE]
        words = [text.get_text() for text in page.texts]
        assert len(lines) == marked
        named = [label or name for label, name in zip(classes, ("one.png", "two.png"), strict=True)]
        assert words.count("cat") == 3 + named.count("cat") and words.count("dog") == 3
        assert {*named, "1.00", "2.50", "123", "nearest of 6 images"} <= set(words)
        assert ("of the image's own class" in words) == any(classes)


def test_the_layer_that_distances_are_in_is_the_last_hidden_one_with_a_bottleneck_or_without(
    network: TrainedNetwork,
) -> None:
    images = np.zeros((2, 16, 16, 3), np.uint8)
    split = Split("train", images, np.array([0, 1]), ("cat", "dog"), ["0.png", "1.png"])
    near, queries = Neighbours(torch.ones(1, 1), torch.tensor([[1]]), 2), Queries(images[:1], ["0.png"], [None])
    for bottleneck in (0, 6):
        network.network = AlexNet(replace(network.network.spec, bottleneck=bottleneck))
        page = neighbours.figure(network, queries, near, split, "2 images").axes[0]
        layer = network.network.feature_name.replace("relu", "fc")
        assert f"number: Euclidean distance in {layer}" in [text.get_text() for text in page.texts]


# of a run ------------------------------------------------------------------------------------------------------------


def test_similar_images_of_a_run_are_the_search_s_with_their_files(
    network: TrainedNetwork, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    split, chosen = neighbours.drawn(network.recipe, tiny_prepared, 2)
    result = neighbours.similar(network.path, sample=2, count=3, keep=False, device="cpu")
    near = neighbours.search(network, split.images[chosen], tiny_prepared, count=3, keep=False)
    assert result.neighbours == near.listed(tiny_prepared.split("train")) and result.searched == near.searched == 72
    assert result.queries is not None and list(result.queries.names) == [split.files[k] for k in chosen]
    assert result.picture is None and result.to_dict()["picture"] is None and not result.unread
    nothing = neighbours.similar(network.path, [str(tmp_path / "absent.png")], tmp_path / "s.png", device="cpu")
    assert nothing.queries is None and len(nothing.unread) == 1 and not (tmp_path / "s.png").exists()
