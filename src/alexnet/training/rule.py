"""The update rule (§5): v <- 0.9 v - 0.0005 rate w - rate g;  w <- w + v, with momentum 0.9 and weight decay 0.0005.

PyTorch's SGD keeps the rate outside v, which is the same only while the rate is constant.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.fast import compiled, in_parts
from alexnet.run.recipe import Recipe
from alexnet.run.schedule import Rates

Kind = Literal["weights", "biases"]


class PaperSGD(torch.optim.Optimizer):
    """The paper's rule: groups have a `lr` and a `decay` of their own; v starts at 0. Gradients are means over the batch."""

    def __init__(self, params: Iterable[Any], lr: float = 0.01, momentum: float = 0.9, decay: float = 0.0005) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})
        self.copies: dict[Tensor, Tensor] = {}
        """By weight, the bf16 copy that the network computes with in its place, where it does: laid out as the weight is. The
        copy then has the gradient, unless the weight has one, and follows every update."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every weight that has a gradient. `closure`, of PyTorch's interface, is not used."""
        for group in self.param_groups:
            gradients = {w: g for w in group["params"] if (g := self.gradient(w)) is not None}
            if not gradients:
                continue
            self.move(group, list(gradients), [self.velocity(w) for w in gradients], list(gradients.values()))

    def velocity(self, weight: Tensor) -> Tensor:
        """The weight's velocity, 0 at first, laid out as the weight is."""
        state = self.state[weight]
        if "v" not in state or state["v"].stride() != weight.stride():  # a checkpoint's are contiguous
            state["v"] = torch.empty_like(weight).copy_(state.get("v", torch.zeros(())))
        return state["v"]

    def gradient(self, weight: Tensor) -> Tensor | None:
        """The weight's gradient, or else that of its copy."""
        return weight.grad if weight.grad is not None else self.copies.get(weight, weight).grad

    def move(self, group: dict[str, Any], weights: list[Tensor], v: list[Tensor], gradients: list[Tensor]) -> None:
        """Update these weights of `group`, their velocities and copies, in place."""
        rates = group["momentum"], group["decay"] * group["lr"], group["lr"]
        if all(_loops_take(w) for w in weights):
            for w, velocity, gradient in zip(weights, v, gradients, strict=True):
                _update_in_one_pass(w, velocity, gradient, self.copies.get(w), *rates)
            copies = [self.copies[w] for w in weights if w in self.copies]
            torch.autograd.graph.increment_version([*weights, *v, *copies])  # autograd has not seen it
        else:
            update(weights, v, [gradient.to(w.dtype) for w, gradient in zip(weights, gradients, strict=True)], *rates)
            self.follow(weights)

    def follow(self, weights: list[Tensor]) -> None:
        """Bring the copies of these weights up to date."""
        for w in weights:
            if w in self.copies:
                self.copies[w].copy_(w)


class LARS(PaperSGD):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks").

    The paper's rule, with the rate of every weight tensor times its `trust_ratios`, so that a step is a share of the
    tensor's length whatever the length of its gradient. Of rate and `trust` only the product counts there. Biases, which
    may start at 0 and would stay there, go by the rate alone.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.01, momentum: float = 0.9, decay: float = 0.0005, trust: float = 1.0
    ) -> None:
        super().__init__(params, lr, momentum, decay)
        self.trust = trust

    def move(self, group: dict[str, Any], weights: list[Tensor], v: list[Tensor], gradients: list[Tensor]) -> None:
        """Update these weights of `group` and their velocities, in place; nothing waits for the device."""
        if group.get("kind") == "biases":
            super().move(group, weights, v, gradients)
            return
        gradients = [gradient.to(w.dtype) for w, gradient in zip(weights, gradients, strict=True)]
        ratios = trust_ratios(weights, gradients, self.trust, group["decay"])
        torch._foreach_mul_(v, group["momentum"])
        if group["decay"]:
            torch._foreach_add_(v, torch._foreach_mul(weights, ratios), alpha=-group["decay"] * group["lr"])
        torch._foreach_add_(v, torch._foreach_mul(gradients, ratios), alpha=-group["lr"])
        torch._foreach_add_(weights, v)
        self.follow(weights)


def optimizer_of(recipe: Recipe, model: nn.Module) -> PaperSGD:
    """The update rule of a recipe over all parameters of `model`, which have the names of its network's."""
    all_groups = groups(model, recipe.network.last_name, recipe.decay, recipe.bias_decay, recipe.factors())
    if recipe.rule == "lars":
        return LARS(all_groups, recipe.full_rate, recipe.momentum, trust=recipe.trust)
    return PaperSGD(all_groups, recipe.full_rate, recipe.momentum)


def trust_ratios(weights: list[Tensor], gradients: list[Tensor], trust: float, decay: float) -> list[Tensor]:
    """Of every weight tensor trust · |w| / (|g| + decay · |w|), Euclidean norms; 1 where either length is 0. Shapes [].

    Norms are of whole tensors: of parts of a network, as columns on two devices hold, they would be others.
    """
    w, g = torch.stack(torch._foreach_norm(weights)), torch.stack(torch._foreach_norm(gradients))
    length = g + decay * w
    return list(torch.where((w > 0) & (length > 0), trust * w / length, 1.0).unbind())


def update(
    weights: list[Tensor], v: list[Tensor], gradients: list[Tensor], momentum: float, shrink: float, rate: float
) -> None:
    """v <- momentum v - shrink w - rate g;  w <- w + v, for each weight, in place; the plain form."""
    torch._foreach_mul_(v, momentum)
    if shrink:
        torch._foreach_add_(v, weights, alpha=-shrink)
    torch._foreach_add_(v, gradients, alpha=-rate)
    torch._foreach_add_(weights, v)


def _loops_take(w: Tensor) -> bool:
    dense = w.is_contiguous() or w.is_contiguous(memory_format=torch.channels_last)
    return w.device.type == "cpu" and w.dtype == torch.float32 and dense and compiled()


def _update_in_one_pass(
    w: Tensor, v: Tensor, g: Tensor, copy: Tensor | None, momentum: float, shrink: float, rate: float
) -> None:
    from alexnet.bf16 import array_of
    from alexnet.training import cpu as loops

    if g.stride() != w.stride():  # all are walked through side by side, in the order of memory
        g = torch.empty_like(w, dtype=g.dtype).copy_(g)
    copy = w.new_empty(0) if copy is None else copy
    arrays = [array_of(tensor.as_strided((tensor.numel(),), (1,))) for tensor in (w, v, g, copy)]
    factors = np.float32(momentum), np.float32(shrink), np.float32(rate)
    in_parts(lambda a, b: loops.update(*(array[a:b] for array in arrays), *factors), w.numel(), least=1 << 16)


def groups(
    model: nn.Module, last: str, decay: float, bias_decay: bool, factors: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """The parameters by layer (first, middle, last) and kind (weights, biases), since their rates may differ.

    `last` is the name of the last layer. Parameters of one dimension (biases, batch normalization) are "biases". A layer
    in `factors` has groups of its own, with the `factor` that `apply` multiplies its rates by.
    """
    factors = factors or {}
    alike: dict[tuple[str, Kind, str], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        layer = name.split(".")[0]
        place = "first" if layer == "conv1" else "last" if layer == last else "middle"
        kind: Kind = "biases" if parameter.ndim <= 1 else "weights"
        alike.setdefault((place, kind, layer if layer in factors else ""), []).append(parameter)
    return [
        {
            "params": params,
            "place": place,
            "kind": kind,
            "decay": decay if kind == "weights" or bias_decay else 0.0,
            # Only where it is used: groups without it are those of checkpoints from before there was this.
            **({"layer": layer, "factor": factors[layer]} if layer else {}),
        }
        for (place, kind, layer), params in alike.items()
    ]


def freeze(model: nn.Module, layers: Collection[str]) -> None:
    """Take the layers of these names out of training: no gradient, no update, no decay.

    The backward pass ends above the lowest layer that is trained. To be called before processes share the network.
    """
    for name in layers:
        model.get_submodule(name).requires_grad_(False)


def apply(optimizer: torch.optim.Optimizer, rates: Rates, first: float = 1.0, last: float = 1.0) -> None:
    """Set the rate of every group; `first` and `last` are the recipe's own multiples for conv1 and the last layer."""
    for group in optimizer.param_groups:
        multiple = {"first": rates.first * first, "last": rates.last * last}.get(group["place"], 1.0)
        multiple *= group.get("factor", 1.0)
        group["lr"] = multiple * (rates.biases if group["kind"] == "biases" else rates.weights)
