"""The arithmetic of windows: how a convolution or a pooling moves over a map, and what size the next map has."""

from dataclasses import dataclass

from alexnet.errors import InputError


@dataclass(frozen=True)
class Window:
    """How a convolution or pooling window moves over a square map, in pixels.

    output = (size + overhang + 2 padding - window) / stride + 1. An overhang below 0 is that many pixels left unread.
    """

    size: int
    window: int
    stride: int
    padding: int
    overhang: int
    output: int

    def __str__(self) -> str:
        terms = f"{self.size}"
        terms += f"+{self.overhang}" if self.overhang > 0 else ""
        terms += f"−{-self.overhang}" if self.overhang < 0 else ""
        terms += f"+2·{self.padding}" if self.padding else ""
        return f"({terms}−{self.window})/{self.stride}+1 = {self.output}"


def steps_of(rest: int, stride: int, up: bool) -> int:
    """How often a window moves by `stride` over `rest` pixels; with `up` it may hang over at the end."""
    return -(-rest // stride) if up else rest // stride


def slide(layer: str, size: int, window: int, stride: int, padding: int, rounding: str) -> Window:
    """The window arithmetic of one layer on a `size` x `size` map; InputError, naming `layer`, if no window fits."""
    rest = size + 2 * padding - window
    steps = steps_of(rest, stride, rounding == "up")
    if steps < 0:
        raise InputError(
            f"{layer}: its {window}×{window} window does not fit the {size}×{size} map"
            f"{f' with padding {padding}' if padding else ''}; use a larger network.input_size"
        )
    return Window(size, window, stride, padding, steps * stride - rest, steps + 1)
