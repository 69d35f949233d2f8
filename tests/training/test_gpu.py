"""The update kernel against `PaperSGD`."""

import pytest
import torch

from alexnet.training.rule import PaperSGD

from ..triton_device import DEVICE

pytest.importorskip("triton")
from alexnet.training.gpu import sgd_  # noqa: E402


def test_equals_the_papers_rule_over_steps_with_falling_rates() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(6, 3, 5, 5), (700,), (3, 5)]
    plain = [torch.randn(*shape, generator=generator).to(DEVICE) for shape in shapes]
    plain[0] = plain[0].contiguous(memory_format=torch.channels_last)
    weights = [w.clone() for w in plain]
    velocities = [torch.zeros_like(w) for w in weights]
    copies = [w.bfloat16() for w in weights]
    rate = torch.zeros((), device=DEVICE)
    sgd = PaperSGD([{"params": [w.requires_grad_() for w in plain]}], momentum=0.9, decay=0.0005)
    for lr in (0.01, 0.01, 0.001):
        sgd.param_groups[0]["lr"] = lr
        rate.fill_(lr)
        for number, w in enumerate(plain):
            # In whatever layout, and rounded to bfloat16, as the network's own gradients are.
            w.grad = torch.randn(*w.shape, generator=generator).to(DEVICE).bfloat16().float()
            sgd_(weights[number], velocities[number], w.grad.bfloat16(), rate, 0.9, 0.0005, copies[number])
        sgd.step()
    for w, v, copy, expected in zip(weights, velocities, copies, plain, strict=True):
        assert torch.allclose(w, expected.detach(), rtol=1e-6, atol=1e-6)
        assert torch.allclose(v, sgd.state[expected]["v"], rtol=1e-5, atol=1e-8)
        assert torch.allclose(copy.float(), w, rtol=2**-7) and not copy.float().equal(w)


def test_nothing_is_written_beyond_the_weights() -> None:
    whole = torch.ones(20, device=DEVICE)
    w, v = whole[:13], torch.zeros(13, device=DEVICE)
    sgd_(w, v, torch.ones(13, device=DEVICE), torch.tensor(0.5, device=DEVICE), 0.9, 0.0)
    assert whole.tolist() == [0.5] * 13 + [1.0] * 7


def test_refuses_what_it_would_get_wrong() -> None:
    w, rate = torch.zeros(4, 2, device=DEVICE), torch.zeros((), device=DEVICE)
    for others in ((w.T, w), (w.half(), w), (w, w[:2]), (w.T.contiguous().T, w)):
        with pytest.raises(ValueError):
            sgd_(w, *others, rate, 0.9, 0.0)
    with pytest.raises(ValueError, match="one number"):
        sgd_(w, w.clone(), w, w, 0.9, 0.0)
