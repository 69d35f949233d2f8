"""The check of the kernels: that it passes, and that it finds every kind of mistake. Without a GPU, in Triton's interpreter."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet.errors import RunFailed
from tests.conftest import TINY_NETWORK

from ..triton_device import DEVICE

pytest.importorskip("triton")
import alexnet.data.gpu  # noqa: E402
import alexnet.training.gpu  # noqa: E402
from alexnet.data import batches  # noqa: E402
from alexnet.gpu import check as checks  # noqa: E402
from alexnet.gpu import whole  # noqa: E402
from alexnet.gpu.comparing import Case, Extent, apart, clear, poisoned, worst  # noqa: E402
from alexnet.network import gpu  # noqa: E402
from alexnet.network.normalization import local_response_normalization as plain  # noqa: E402

LOW = torch.bfloat16
NETWORK = replace(TINY_NETWORK, input_size=16)
TINY = Extent(
    cases=(Case(LOW, 8, 3), Case(torch.float32, 8, 4, 2), Case(torch.float32, 10, 3)),
    networks=(NETWORK, replace(NETWORK, name="authors-2012", normalization="authors-2012")),
    image=20,
    images=3,
    weights=1003,
    batch=4,
    steps=2,
    mapped=1,
)


def check(*parts: str) -> list[Any]:
    """The check, or some parts of it."""
    chosen = {name: part for name, part in checks.PARTS.items() if name in parts or not parts}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "PARTS", chosen)
        return checks.check(device=DEVICE, extent=TINY)


def test_what_is_right_passes_with_a_row_a_part_and_says_how_near_it_was() -> None:
    said: list[str] = []
    rows = checks.check(said.append, DEVICE, TINY)
    assert [row.name for row in rows] == [f"{name}: error / bound" for name in checks.PARTS]
    assert all(row.low >= 0 and row.high <= 1 and row.rounds >= 2 and "nearest" in row.note for row in rows)
    assert len(said) == len(rows)
    assert not torch.are_deterministic_algorithms_enabled()


def slightly(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One number of the result off by a fiftieth of its size and of the typical size."""

    def wrong(*given: Any, **how: Any) -> Tensor:
        y = form(*given, **how)
        at = torch.zeros_like(y)
        at.view(-1)[-1] = 0.02 * (y.detach().abs().mean() + y.detach().reshape(-1)[-1].abs())
        return y + at

    return wrong


@pytest.mark.parametrize(
    ("part", "module", "kernel"),
    [
        ("normalization", gpu, "local_response_normalization"),
        ("normalization", checks, "map_normalization"),
        ("ReLU, normalization, pooling", gpu, "relu_lrn_pool"),
        ("augmentation", alexnet.data.gpu, "augment"),
        ("augmentation", checks, "training_batch"),
    ],
)
def test_one_number_that_is_wrong_is_found(
    part: str, module: Any, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == "map_normalization":  # which both sides call
        right = module.map_normalization
        monkeypatch.setattr(module, kernel, lambda x: right(x) if x.dtype == torch.float64 else slightly(right)(x))
    else:
        monkeypatch.setattr(module, kernel, slightly(getattr(module, kernel)))
    with pytest.raises(RunFailed, match=f"(?s)plain forms give.*{part}"):
        check(part)


def test_a_wrong_window_order_or_coefficient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right, fused = gpu.local_response_normalization, gpu.relu_lrn_pool
    monkeypatch.setattr(gpu, "local_response_normalization", lambda x, lrn, columns: right(x, lrn, 1))
    with pytest.raises(RunFailed) as found:
        check("normalization")
    assert "2 columns" in str(found.value) and "1 column," not in str(found.value)
    monkeypatch.setattr(gpu, "relu_lrn_pool", lambda x, relu, **how: fused(x, True, **how))
    with pytest.raises(RunFailed) as found:
        check("ReLU, normalization, pooling")
    assert "ReLU none" in str(found.value) and "ReLU before" not in str(found.value)


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def detached(x: Tensor, **how: Any) -> Tensor:
        """The right numbers, with the gradient of the power left out."""
        y = plain(x.detach(), **how)
        return y.detach() + (x - x.detach()) * (y / x.detach())

    monkeypatch.setattr(gpu, "local_response_normalization", detached)
    with pytest.raises(RunFailed):
        check("normalization")


def test_a_number_that_is_never_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = alexnet.data.gpu.augment

    def short(*given: Any) -> Tensor:
        full = right(*given)
        out = torch.empty_like(full)
        out[:, :, :-1] = full[:, :, :-1]
        return out

    monkeypatch.setattr(alexnet.data.gpu, "augment", short)
    with pytest.raises(RunFailed, match="nan"):
        check("augmentation")


def test_a_wrong_update_is_found_alone_and_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    right = alexnet.training.gpu.sgd_

    def late(w: Tensor, v: Tensor, *given: Any) -> None:
        """PyTorch's own rule of momentum: the rate outside of the velocity."""
        before = w.clone()
        right(w, v, *given)
        w.copy_(before + 1.1 * v)

    monkeypatch.setattr(alexnet.training.gpu, "sgd_", late)
    with pytest.raises(RunFailed) as found:
        check("update", "training steps")
    assert "update, w [1003]" in str(found.value) and "training steps, tiny, float32" in str(found.value)


def test_other_draws_in_a_step_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = whole.by_step

    def unseeded(*given: Any, capture: bool, **how: Any) -> Any:
        """A graph whose dropout takes no notice of the seed."""
        with pytest.MonkeyPatch.context() as patch:
            if capture:
                seed = torch.manual_seed
                patch.setattr(torch, "manual_seed", lambda number: seed(number + 1000))
            return right(*given, capture=capture, **how)

    monkeypatch.setattr(whole, "by_step", unseeded)
    with pytest.raises(RunFailed, match="replayed"):
        check("training steps")


def test_a_wrong_network_is_found_in_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "plain", lambda x, lrn, columns: plain(x, replace(lrn, k=lrn.k + 0.1)))
    with pytest.raises(RunFailed, match="logits, tiny, float32"):
        check("logits")


def test_a_wrong_view_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(range(100))

    def mixed(*given: Any) -> Any:
        views = list(batches.test_views(*given))
        return iter(views[::-1] if next(turns) % 2 else views)

    monkeypatch.setattr(checks, "test_views", mixed)
    with pytest.raises(RunFailed, match="view 1 of 10"):
        check("views")


def test_a_part_that_raises_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "local_response_normalization", broken)
    monkeypatch.setattr(alexnet.training.gpu, "sgd_", lambda *given: None)
    with pytest.raises(RunFailed) as found:
        check("normalization", "update")
    assert "RuntimeError: no such kernel" in str(found.value) and "update, w" in str(found.value)


def test_new_tensors_are_poisoned_and_then_no_more() -> None:
    with poisoned():
        assert torch.empty(3, device=DEVICE).isnan().all()
        assert (torch.empty(3, dtype=torch.uint8, device=DEVICE) == 255).all()
        assert torch.empty_like(torch.ones(3, dtype=LOW, device=DEVICE)).isnan().all()
    assert not torch.are_deterministic_algorithms_enabled()


def test_errors_are_relative_and_nan_is_no_small_one() -> None:
    expected = torch.tensor([100.0, 1.0, 1.0, 1.0])
    assert worst(expected + torch.tensor([0.0, 0.0, 0.5, 0.0]), expected) == pytest.approx(0.5 / 51, rel=0.01)
    assert math.isnan(worst(expected * torch.tensor([1.0, math.nan, 1.0, 1.0]), expected))
    assert apart([expected, 1.1 * expected], [expected, expected]) == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(apart([expected, expected * math.nan], [expected, expected]))


def test_windows_with_two_maxima_are_left_out_but_not_those_of_zeros() -> None:
    y = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    y[0, 0, 0, 0], y[0, 0, 0, 1] = 3.0, 3.0 * (1 + 1e-7)  # of the first window only
    y[0, 0, 5, 5] = 2.0  # of the last one, which hangs over the edge
    assert clear(y, ceil=True).squeeze().tolist() == [[False, True, True], [True, True, True], [True, True, True]]
    assert clear(y, ceil=False).shape == (1, 1, 2, 2)
