"""One step of training: the same whichever way it is done, captured as a CUDA graph where there is a GPU."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network.model import AlexNet
from alexnet.training import rule
from alexnet.training.layouts import Layout
from alexnet.training.step import WARM, Batch, Step
from tests.conftest import TINY_NETWORK

from ..triton_device import DEVICE

BATCH = 8
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def learner(**changes: object) -> tuple[AlexNet, rule.PaperSGD]:
    network = replace(TINY_NETWORK, **changes)  # type: ignore[arg-type]
    model = AlexNet(network, torch.Generator().manual_seed(1))
    model = model.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = rule.groups(model, network.last_name, 0.0005, bias_decay=False)
    return model, rule.PaperSGD(groups, lr=0.005)


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [
        (
            torch.randint(0, 256, (size, 28, 28, 3), generator=generator, dtype=torch.uint8).to(DEVICE),
            torch.randint(4, (size,), generator=generator).to(DEVICE),
        )
        for size in sizes
    ]


def input_of(pixels: Tensor) -> Tensor:
    return (pixels.permute(0, 3, 1, 2).float() - 120).contiguous(memory_format=torch.channels_last)


def augment(batch: Batch, dtype: torch.dtype) -> Tensor:
    return input_of(batch.images)


def run(make: Callable[[AlexNet, rule.PaperSGD], Step], sizes: tuple[int, ...], **changes: object) -> tuple:
    """Weights, velocities and sums after steps with batches of these sizes, the rate falling before the last."""
    model, sgd = learner(**changes)
    step = make(model, sgd)
    for number, (pixels, labels) in enumerate(batches(*sizes)):
        torch.manual_seed(number)
        if number == len(sizes) - 1:
            for group in sgd.param_groups:
                group["lr"] = 0.001
        step(Batch(pixels, labels, len(labels)))
    weights = [w.detach().clone() for w in model.parameters()]
    return weights, [sgd.state[w]["v"] for w in model.parameters()], step.take()


def by_hand(sizes: tuple[int, ...]) -> tuple[list[Tensor], float, int]:
    """The same by the lines that everybody writes."""
    model, sgd = learner()
    total, wrong = 0.0, 0
    for number, (pixels, labels) in enumerate(batches(*sizes)):
        torch.manual_seed(number)
        for group in sgd.param_groups:
            group["lr"] = 0.001 if number == len(sizes) - 1 else 0.005
        sgd.zero_grad()
        logits = model(input_of(pixels))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        sgd.step()
        total += loss.item() * len(labels)
        wrong += int((logits.argmax(dim=1) != labels).sum())
    return [w.detach() for w in model.parameters()], total, wrong


SIZES = (BATCH, BATCH, 5, BATCH)


def test_a_step_is_forward_backward_and_the_papers_rule() -> None:
    weights, _, (loss, wrong) = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH), SIZES)
    expected, expected_loss, expected_wrong = by_hand(SIZES)
    for results, w in zip(weights, expected, strict=True):
        assert torch.allclose(results, w, rtol=1e-5, atol=1e-7)
    assert loss == pytest.approx(expected_loss, rel=1e-5) and wrong == expected_wrong


def test_sums_are_taken_once() -> None:
    model, sgd = learner()
    step = Step(Layout(model), sgd, augment, BATCH)
    pixels, labels = batches(BATCH)[0]
    step(Batch(pixels, labels, BATCH))
    assert step.take()[0] > 0 and step.take() == (0.0, 0)


def test_micro_batches_add_up_to_the_same_step() -> None:
    whole = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH), SIZES, dropout=0.0)
    parts = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH, micro_batch=3), SIZES, dropout=0.0)
    for a, b in zip(whole[0], parts[0], strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)
    assert parts[2] == pytest.approx(whole[2], rel=1e-5)


@needs_triton
def test_fused_update_is_the_same_step() -> None:
    plain = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH), SIZES[:2])
    fused = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH, fused=True), SIZES[:2])
    for kind in (0, 1):  # weights, velocities
        for a, b in zip(plain[kind], fused[kind], strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


@needs_triton
def test_velocities_that_were_loaded_are_taken_in_whatever_layout() -> None:
    model, sgd = learner()
    loaded = torch.randn(model.conv1.weight.shape, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    sgd.state[model.conv1.weight]["v"] = loaded.contiguous()
    Step(Layout(model), sgd, augment, BATCH, fused=True)
    velocity = sgd.state[model.conv1.weight]["v"]
    assert velocity.equal(loaded) and velocity.stride() == model.conv1.weight.stride() != loaded.stride()


@needs_triton
@pytest.mark.parametrize("normalization", ["paper", "batch"])
def test_bfloat16_copies_compute_what_autocast_does_and_follow_the_weights(normalization: str) -> None:
    low = torch.bfloat16
    built: list[Step] = []

    def copied(model: AlexNet, sgd: rule.PaperSGD) -> Step:
        built.append(Step(Layout(model), sgd, augment, BATCH, low=low, fused=True))
        return built[0]

    changes = {"normalization": normalization, "dropout": 0.0}
    results = run(copied, SIZES[:2], **changes)
    expected = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH, low=low), SIZES[:2], **changes)
    start = [w.detach() for w in learner(**changes)[0].parameters()]
    for a, b, w in zip(results[0], expected[0], start, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() <= 0.05 * (b - w).norm()  # of the way that the weights went
    assert results[2] == pytest.approx(expected[2], rel=0.01)
    for name, weight in built[0].model.named_parameters():
        leaf = built[0].leaves[name]
        # The interpreter rounds bfloat16 towards zero.
        assert leaf is weight if "norm" in name else torch.allclose(leaf.float(), weight, rtol=2**-7, atol=0)


def test_dynamo_can_compile_the_loss() -> None:
    model, sgd = learner(dropout=0.0)
    step = Step(Layout(model), sgd, augment, BATCH)
    pixels, labels = batches(BATCH)[0]
    compiled = torch.compile(step._loss, backend="aot_eager", fullgraph=True)
    results = compiled(step.leaves, input_of(pixels), labels)
    expected = step._loss(step.leaves, input_of(pixels), labels)
    assert results[0].item() == pytest.approx(expected[0].item(), rel=1e-5) and results[1].equal(expected[1])


@pytest.mark.gpu
@pytest.mark.parametrize("low", [None, torch.bfloat16])
def test_a_captured_graph_does_the_same_steps(low: torch.dtype | None) -> None:
    sizes = (BATCH,) * (WARM + 3) + (5,) + (BATCH,) * 3
    eager = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH, low=low, fused=True), sizes)
    graph = run(lambda model, sgd: Step(Layout(model), sgd, augment, BATCH, low=low, fused=True, capture=True), sizes)
    start = [w.detach() for w in learner()[0].parameters()]
    for a, b, w in zip(eager[0], graph[0], start, strict=True):
        assert (a - b).norm() <= (1e-3 if low is None else 0.05) * (a - w).norm()
    (loss, wrong), (eager_loss, eager_wrong) = graph[2], eager[2]
    assert loss == pytest.approx(eager_loss, rel=1e-3)
    assert wrong == pytest.approx(eager_wrong, abs=0 if low is None else 2), "sums in another order may decide a tie"


# --- bf16 on the CPU ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.training.test_step.DEVICE", "cpu")


def bf16_step(model: AlexNet, sgd: rule.PaperSGD, **more: object) -> Step:
    return Step(Layout(model), sgd, augment, BATCH, low=torch.bfloat16, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_in_bf16_the_gradients_are_those_of_autocast(on_the_cpu: None, micro_batch: int | None) -> None:
    (pixels, labels), size = batches(BATCH)[0], micro_batch or BATCH
    model, sgd = learner(dropout=0.0)
    expected, _ = learner(dropout=0.0)
    for part, truth in zip(input_of(pixels).split(size), labels.split(size), strict=True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = expected(part)
        (F.cross_entropy(logits.float(), truth, reduction="sum") / BATCH).backward()
    step = bf16_step(model, sgd, micro_batch=micro_batch)
    step(Batch(pixels, labels, len(labels)))
    for weight, like in zip(model.parameters(), expected.parameters(), strict=True):
        gradient = sgd.gradient(weight)
        assert gradient is not None and like.grad is not None
        assert gradient.dtype == (torch.float32 if micro_batch else torch.bfloat16)  # a sum needs more than eight bits
        assert (gradient.float() - like.grad).norm() < 1e-2 * like.grad.norm()


def test_the_copies_are_the_weights_rounded_after_every_step(on_the_cpu: None) -> None:
    model, sgd = learner()
    step = bf16_step(model, sgd)
    for pixels, labels in batches(BATCH, BATCH):
        step(Batch(pixels, labels, len(labels)))
        assert len(sgd.copies) == len(list(model.parameters()))
        assert all(torch.equal(copy, weight.bfloat16()) for weight, copy in sgd.copies.items())


@pytest.mark.parametrize("form", ["loops", "plain", "lars"])
def test_every_rule_updates_weights_by_the_copies_gradients(
    on_the_cpu: None, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "loops":
        pytest.importorskip("numba")
    if form == "plain":
        monkeypatch.setattr(rule, "compiled", lambda: False)
    model, _ = learner()
    groups = rule.groups(model, model.spec.last_name, 0.0005, bias_decay=False)
    sgd = rule.LARS(groups, lr=0.01) if form == "lars" else rule.PaperSGD(groups, lr=0.005)
    step = bf16_step(model, sgd)
    pixels, labels = batches(BATCH)[0]
    step(Batch(pixels, labels, len(labels)))
    expected = {w: w.detach().clone() for w in model.parameters()}
    v = {w: sgd.state[w]["v"].clone() for w in expected}
    step(Batch(pixels, labels, len(labels)))
    gradient_of = {w: sgd.copies[w].grad.float() for w in expected}  # of the second step, which has been made
    for group in sgd.param_groups:
        for w in group["params"]:
            share = group["lr"]
            if form == "lars" and group["kind"] == "weights":
                ratio = rule.trust_ratios([expected[w]], [gradient_of[w]], 1.0, group["decay"])[0]
                share = group["lr"] * ratio
            moved = 0.9 * v[w] - group["decay"] * share * expected[w] - share * gradient_of[w]
            assert torch.allclose(w, expected[w] + moved, rtol=1e-5, atol=1e-7)


def test_logits_are_those_of_the_weights_as_they_are(on_the_cpu: None) -> None:
    model, sgd = learner(dropout=0.0)
    step = bf16_step(model, sgd)
    pixels, labels = batches(BATCH)[0]
    before = step.logits(input_of(pixels)).detach()
    step(Batch(pixels, labels, len(labels)))
    after = step.logits(input_of(pixels)).detach()
    assert after.dtype == torch.float32 and not torch.equal(before, after)
    assert (after - model(input_of(pixels))).abs().max() < 0.05 * after.abs().max()
