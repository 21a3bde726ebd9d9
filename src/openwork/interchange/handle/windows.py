"""Windows of convolutions and pools: their attributes, and padding that torch does not have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import NotReadable, Value

_AUTOMATIC = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class WindowForm:
    """The form of a window over s spatial axes.

    Attributes:
        kernel, stride, dilation: s numbers.
        before, after: padding of each axis.
        same: "" or how padding that keeps sizes is split: "upper" or "lower".
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    same: str = ""

    @property
    def symmetric(self) -> bool:
        """Whether torch's own padding does."""
        return not self.same and self.before == self.after


def window(node: OnnxNode, kernel: Sequence[int]) -> WindowForm:
    """The window of a node, for a kernel of these sizes."""
    axes = len(kernel)
    if not 1 <= axes <= 3:
        raise NotReadable(f"it has {axes} spatial axes, but must have 1 to 3")
    stride = _each(node, "strides", axes, 1, least=1)
    dilation = _each(node, "dilations", axes, 1, least=1)
    pads = _each(node, "pads", 2 * axes, 0)
    automatic = node.text("auto_pad", "NOTSET", _AUTOMATIC)
    before, after, same = pads[:axes], pads[axes:], ""
    if automatic != "NOTSET":
        before = after = (0,) * axes
    if automatic.startswith("SAME"):
        same = automatic[5:].lower()
        if all(step == 1 for step in stride):
            total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
            before, after = (more, less) if same == "lower" else (less, more)
            same = ""
    return WindowForm(tuple(kernel), stride, dilation, before, after, same)


def _each(node: OnnxNode, name: str, count: int, default: int, least: int = 0) -> tuple[int, ...]:
    found = node.attribute(name)
    numbers = (default,) * count if found is None else tuple(int(each) for each in found)
    if len(numbers) != count or min(numbers) < least:
        raise NotReadable(f"`{name}` is {list(numbers)}, but must be {count} numbers >= {least}")
    return numbers


def padded(net: Builder, value: Value, form: WindowForm, fill: float) -> Value:
    """`value` with the padding of `form` around it."""
    if form.same:
        lower = form.same == "lower"
        found = net.call(
            pad_to_same, value, list(form.kernel), list(form.stride), list(form.dilation), lower,
            fill,
        )  # fmt: skip
    else:
        pairs = zip(reversed(form.before), reversed(form.after), strict=True)
        widths = [width for pair in pairs for width in pair]
        if not any(widths):
            return value
        found = net.call(F.pad, value, widths, "constant", fill)
    return with_rank(found, rank_of(value))


def pad_to_same(
    x: torch.Tensor,
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    lower: bool,
    fill: float,
) -> torch.Tensor:
    """As much padding as gives ceil(size / stride) windows."""
    widths: list[Any] = []
    sizes = x.shape[2:]
    for size, k, s, d in reversed(list(zip(sizes, kernel, stride, dilation, strict=True))):
        total = torch.sym_max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        less = total // 2
        widths += [total - less, less] if lower else [less, total - less]
    return F.pad(x, widths, "constant", fill)
