"""Every piece of the measurements, at sizes that give no figures: that it runs, stops, and goes on without what fails."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.errors import RunFailed
from alexnet.network.model import AlexNet
from tests.conftest import TINY_NETWORK

from ..triton_device import DEVICE, relative

pytest.importorskip("triton")
from alexnet.gpu import kernels, stepping, steps, timing  # noqa: E402
from alexnet.gpu.convolutions import as_blocks, block_dense, column_forms, first_forms  # noqa: E402
from alexnet.gpu.speed import PIECES, Given, Size  # noqa: E402
from alexnet.gpu.stepping import Images, Loop, our_step, peer_step, plain_port, torchvisions  # noqa: E402
from alexnet.training.step import WARM  # noqa: E402

LIMITS = {"product": 1e12, "copy": 1e9}
NETWORK = replace(TINY_NETWORK, input_size=16)
TINY = Size(
    network=NETWORK,
    image=20,
    images=8,
    batches=(2,),
    profiled=(2,),
    round=4,
    product=16,
    copied=64,
    maps=1,
    augmented=4,
    convolved=(2,),
    visits=24,
    resident=8,
    validated=4,
)


@pytest.fixture(autouse=True)
def _normalization_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE == "cpu":  # where torch's normalization does not take bfloat16
        theirs = F.local_response_norm
        monkeypatch.setattr(F, "local_response_norm", lambda x, *how: theirs(x.float(), *how).to(x.dtype))


@pytest.fixture
def small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps that the interpreter is soon done with."""
    assert kernels.normalized_maps(NETWORK) == {"conv1": (16, 7), "conv2": (16, 3)}
    monkeypatch.setattr(kernels, "normalized_maps", lambda network: {"conv1": (8, 3)})


def given(stop: bool = False, **size: Any) -> Given:
    stopped = (lambda: True) if stop else (lambda: False)
    return Given(1, stopped, device=torch.device(DEVICE), size=replace(TINY, **size), limits=dict(LIMITS))


def test_the_limits_are_measured_once_and_every_piece_says_which_they_were() -> None:
    fresh = replace(given(), limits={})
    rows, more = PIECES["ceilings"](fresh)
    assert [row.unit for row in rows] == ["TFLOP/s", "TB/s"] and all(row.median > 0 for row in rows)
    assert more["limits"] == fresh.limits == {"product": rows[0].median * 1e12, "copy": rows[1].median * 1e12}
    assert more["left out"] == []


def test_shares_are_of_the_limits() -> None:
    assert timing.of_copy("a", [2.0], 1e9, LIMITS).median == pytest.approx(50)
    share = timing.of_product("a", [2.0], 1e12, LIMITS)
    assert share.median == pytest.approx(50) and share.note == "2,000,000.0 µs, 0 TFLOP/s"


def test_a_form_that_fails_is_left_out_and_named() -> None:
    def broken() -> None:
        raise RuntimeError("no such kernel")

    said: list[str] = []
    here = replace(given(), say=said.append)
    assert set(timing.timed({"broken": broken, "good": lambda: None}, here)) == {"good"}
    assert here.left_out == ["broken: RuntimeError: no such kernel"] and "no such kernel" in "".join(said)


def test_a_piece_without_any_figure_has_failed(small_maps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "timed", lambda forms, given: given.leave_out(next(iter(forms)), "broken") or {})
    with pytest.raises(RunFailed, match="augmentation to bfloat16: broken"):
        PIECES["kernels"](given(convolved=()))


def test_kernels_are_shares_and_ratios(small_maps: None) -> None:
    rows, more = PIECES["kernels"](given())
    names = [row.name for row in rows]
    assert more["left out"] == []
    assert {row.unit for row in rows} == {"% of copy", "x", "% of product"} and all(row.median > 0 for row in rows)
    assert "LRN conv1, backward" in names and "ReLU, LRN, pooling conv1 against torch's three layers" in names
    assert "augmentation to bfloat16" in names and "update, bfloat16 gradient and copy" in names
    assert "conv1, 2: 2 x 2 pixels as channels" in names and "conv2, 2: block-dense" in names
    assert not any("conv3, 2" in name for name in names)  # it reads both columns


def test_what_normalization_moves_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "timed", lambda forms, given: dict.fromkeys(forms, [1.0]))
    shares = {row.name: row.median * 1e7 for row in kernels.normalization(given(maps=3), {"copy": 1e9})}
    numbers, pooled = 3 * 16 * 7**2, 3 * 16 * 3**2
    assert shares["LRN conv1, forward"] == pytest.approx(4 * numbers)
    assert shares["LRN conv1, backward"] == pytest.approx(6 * numbers)
    assert shares["ReLU, LRN, pooling conv1, forward"] == pytest.approx(2 * numbers + 3 * pooled)
    assert shares["ReLU, LRN, pooling conv1, backward"] == pytest.approx(4 * numbers + 3 * pooled)


def test_all_forms_of_a_convolution_have_the_same_sums() -> None:
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(4, 4, 3, 3)
    expected = F.conv2d(x, weight, padding=1, groups=2)
    assert torch.allclose(F.conv2d(x, block_dense(weight), padding=1), expected, atol=1e-5)
    for window, stride in ((11, 4), (5, 2)):
        side = 6
        x = torch.randn(2, 3, *2 * (stride * (side - 1 + -(-window // stride)),))
        weight, read = torch.randn(4, 3, window, window), stride * (side - 1) + window
        expected = F.conv2d(x[:, :, :read, :read], weight, stride=stride)
        found = F.conv2d(*as_blocks(x, weight, stride))
        assert found.shape == expected.shape == (2, 4, side, side) and relative(found, expected) < 1e-5


def test_the_gradients_of_the_columns_are_the_grouped_ones() -> None:
    forms = column_forms(2, 4, 8, 5, 3, torch.device(DEVICE))
    grouped, columns = forms["grouped"](), forms["two columns"]()
    assert all(relative(a, b) < 0.02 for a, b in zip(columns, grouped, strict=True))  # type: ignore[call-overload]
    dense = forms["block-dense"]()
    assert relative(dense[0], grouped[0]) < 0.02  # type: ignore[index]
    first = {form: work()[0].shape for form, work in first_forms(2, 3, 8, 6, 11, 4, torch.device(DEVICE)).items()}  # type: ignore[index]
    assert first == {
        "3 channels": (8, 3, 11, 11),
        "4 channels": (8, 4, 11, 11),
        "8 channels": (8, 8, 11, 11),
        "4 x 4 pixels as channels": (8, 48, 3, 3),
    }


def test_steps_are_images_a_second_beside_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = AlexNet(replace(NETWORK, normalization="none"))
    monkeypatch.setattr(steps, "torchvisions", lambda classes: ("theirs", lambda: plain))
    compile = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda model, mode, dynamic: compile(model, backend="aot_eager", dynamic=dynamic)
    )
    rows, more = PIECES["steps"](given())
    assert more["left out"] == [] and len(more["memory"]) == 1
    units = {row.name: row.unit for row in rows}
    assert units["paper, graph, 2"] == units["theirs, compile and its graphs, 2"] == "images/s"
    assert units["paper, graph, 2: share of the bfloat16 product"] == "%"
    assert units["paper, graph, 2 against theirs, compile"] == "x"
    assert units["paper, graph, 2 against plain port, nn.LocalResponseNorm"] == "x"


def test_slow_compilations_are_only_of_the_first_and_the_last_batch_size() -> None:
    images = Images(TINY, torch.device(DEVICE))
    sizes = given(batches=(2, 3, 4))
    names = [set(steps.forms(sizes, images, batch)) for batch in (2, 3, 4)]
    assert names[0] == names[2] > names[1] and steps.OURS in names[1]


def test_the_figures_of_steps() -> None:
    seconds = {"paper, graph": [1.0, 0.5], "theirs": [2.0, 2.0]}
    rows = {row.name: row for row in steps.figures(seconds, 8, 1e9, {"product": 1e10})}
    assert rows["paper, graph, 8"].median == 1.5 and "853333.3 s" in rows["paper, graph, 8"].note
    assert rows["paper, graph, 8: share of the bfloat16 product"].median == pytest.approx(15)
    assert (rows["paper, graph, 8 against theirs"].low, rows["paper, graph, 8 against theirs"].high) == (2, 4)


def test_a_step_that_cannot_be_made_leaves_the_others() -> None:
    def broken() -> Any:
        raise torch.OutOfMemoryError("nothing left")

    here, images = given(), Images(TINY, torch.device(DEVICE))
    made = {"broken": broken, "ours": lambda: our_step(NETWORK, images, 2)}
    assert list(steps.measured(made, images, 2, here)) == ["ours"]
    assert here.left_out == ["broken, 2: OutOfMemoryError: nothing left"]


def test_without_time_left_every_piece_ends_with_its_first_figures(small_maps: None) -> None:
    for name in ("kernels", "profile"):
        rows, more = PIECES[name](given(stop=True, profiled=(2, 3)))
        assert rows and all(text.endswith("no time left") for text in more["left out"]) and more["left out"]


def test_a_loop_seeds_every_step_and_counts_its_images() -> None:
    images, seen = Images(TINY, torch.device(DEVICE)), []

    def step(indices: Tensor, labels: Tensor) -> None:
        assert labels.equal(images.labels[indices])
        seen.append((images.batch(indices).shape, torch.initial_seed(), images.generator.initial_seed()))

    loop = Loop(step, images, 2, 3)
    assert len(seen) == WARM + 3 and loop() > 0 and len(seen) == WARM + 6
    assert {shape for shape, *_ in seen} == {(2, 3, 16, 16)}
    assert len({seeds for _, *each in seen for seeds in each}) == 2 * len(seen)


def test_our_step_and_a_peers_both_learn() -> None:
    images = Images(TINY, torch.device(DEVICE))
    model = plain_port(NETWORK)
    assert sum(type(layer) is torch.nn.LocalResponseNorm for layer in model.children()) == 2
    before = [w.detach().clone() for w in model.parameters()]
    Loop(peer_step(model, images, None), images, 2, 1)
    assert not any(a.equal(b.to(a)) for a, b in zip(model.parameters(), before, strict=True))
    for low in (True, False):
        step = our_step(NETWORK, images, 2, low=low)
        Loop(step, images, 2, 1)
        assert step.take()[0] > 0 and (step.low is not None) == low


def test_a_plain_port_is_the_same_network() -> None:
    model = AlexNet(NETWORK).eval()
    port = plain_port(NETWORK).eval()
    port.load_state_dict(model.state_dict())
    x = 100 * torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert relative(port(x), model(x)) < 1e-5


def test_torchvisions_network_is_there_even_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "find_spec", lambda name: None)
    name, make = torchvisions(7)
    assert name == "torchvision's layers" and make().fc8.out_features == 7  # type: ignore[union-attr,operator]
