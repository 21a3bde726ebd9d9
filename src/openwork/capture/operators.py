"""What an exported operator is called with: arguments by name, and records of common operators.

A record reads the arguments of one family of operators, such as all convolutions, and brings them
into one form. Its tensors are nodes of the graph, or None where an optional one is not given.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch.fx import Node
from torch.fx.node import map_arg

__all__ = [
    "BatchNorm",
    "Binary",
    "Convolution",
    "Linear",
    "NotUnderstood",
    "arguments",
    "batch_norm",
    "binary",
    "convolution",
    "joined",
    "leaves",
    "linear",
    "operand",
    "padding",
    "pool",
    "reduction",
    "slice_",
    "spatial_axes",
]


class NotUnderstood(Exception):
    """This use of an operator is not one that the caller handles; the text says why."""


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of `node` by the names of its schema, with the schema's defaults."""
    schema = node.target._schema  # type: ignore[union-attr]
    named: dict[str, Any] = {}
    for index, argument in enumerate(schema.arguments):
        if index < len(node.args):
            named[argument.name] = node.args[index]
        elif argument.name in node.kwargs or not argument.has_default_value():
            named[argument.name] = node.kwargs[argument.name]
        else:
            named[argument.name] = argument.default_value
    return named


def operand(node: Node) -> Any:
    """The first argument of `node`: the tensor that it works on."""
    return next(iter(arguments(node).values()))


def leaves(tree: Any) -> list[Node]:
    """All nodes within nested arguments."""
    found: list[Node] = []
    map_arg(tree, found.append)
    return found


@dataclass(frozen=True)
class Convolution:
    """A convolution with s spatial axes: torch's dense one or openwork's sparse one.

    Attributes:
        input: the images, (batch, in_channels, s sizes).
        weight: the parameter: (out_channels, in_channels / groups, s sizes); transposed:
            (in_channels, out_channels / groups, s sizes); sparse: the live weights alone.
        bias: (out_channels,), or None.
        stride, dilation, output_padding: s numbers.
        padding: s numbers, or "same" for as much as keeps the size.
        groups: number of groups of channels.
        transposed: whether it is a transposed convolution.
        gaps: sparse only: where the live weights are.
        shape: sparse only: the shape of the weight with its zeros.
    """

    input: Any
    weight: Any
    bias: Any
    stride: tuple[Any, ...]
    padding: tuple[Any, ...] | Literal["same"]
    dilation: tuple[Any, ...]
    groups: int
    transposed: bool = False
    output_padding: tuple[Any, ...] = (0, 0)
    gaps: Any = None
    shape: tuple[int, ...] | None = None

    def padding_of(self, kernel: tuple[int, ...]) -> tuple[Any, ...]:
        """The padding of each spatial axis with a kernel of these sizes.

        Raises:
            NotUnderstood: "same" needs more padding on one side than on the other.
        """
        if not isinstance(self.padding, str):
            return self.padding
        total = [step * (size - 1) for size, step in zip(kernel, self.dilation, strict=True)]
        if any(size % 2 for size in total):
            raise NotUnderstood("more padding on one side than on the other")
        return tuple(size // 2 for size in total)


def convolution(node: Node) -> Convolution:
    """The record of aten's convolutions, and of openwork.sparse_conv2d."""
    named = arguments(node)
    axes = spatial_axes(node) or len(named["stride"])
    padding: Any = named["padding"]
    if padding == "valid":
        padding = 0
    return Convolution(
        named["input"],
        named["weight"],
        named["bias"],
        _each(named["stride"], axes),
        "same" if padding == "same" else _each(padding, axes),
        _each(named["dilation"], axes),
        named["groups"],
        named.get("transposed", "transpose" in _name(node)),
        _each(named.get("output_padding", 0), axes),
        named.get("gaps"),
        tuple(named["shape"]) if "shape" in named else None,
    )


@dataclass(frozen=True)
class Linear:
    """A linear layer: torch's dense one or openwork's sparse one.

    Attributes:
        input: (..., in_features).
        weight: (out_features, in_features); sparse: the live weights alone.
        bias: (out_features,), or None.
        gaps: sparse only: where the live weights are.
        shape: sparse only: the shape of the weight with its zeros.
    """

    input: Any
    weight: Any
    bias: Any
    gaps: Any = None
    shape: tuple[int, ...] | None = None


def linear(node: Node) -> Linear:
    """The record of aten.linear and openwork.sparse_linear."""
    named = arguments(node)
    return Linear(
        named["input"],
        named["weight"],
        named["bias"],
        named.get("gaps"),
        tuple(named["shape"]) if "shape" in named else None,
    )


@dataclass(frozen=True)
class BatchNorm:
    """A batch normalisation.

    Attributes:
        input: (batch, channels, ...).
        weight, bias: (channels,), or None.
        mean, variance: the running statistics, (channels,), or None.
        training: whether it takes the statistics of the batch instead.
        eps: added to the variance.
    """

    input: Any
    weight: Any
    bias: Any
    mean: Any
    variance: Any
    training: bool
    eps: float


def batch_norm(node: Node) -> BatchNorm:
    """The record of every overload of batch normalisation in aten."""
    named = arguments(node)
    return BatchNorm(
        named["input"],
        named["weight"],
        named["bias"],
        named.get("running_mean"),
        named.get("running_var"),
        bool(named.get("training", False)),
        named["eps"] if "eps" in named else named["epsilon"],
    )


@dataclass(frozen=True)
class Pooling:
    """Means or maxima of windows over s spatial axes.

    Attributes:
        input: the images, (batch, channels, s sizes).
        window, stride, padding, dilation: s numbers.
        average: whether it gives means, not maxima.
        ceil: whether the output's size is rounded up.
        count_padding: whether means count the zeros around the input.
        divisor: what the sum of a window is divided by, if that is not its size.
    """

    input: Any
    window: tuple[Any, ...]
    stride: tuple[Any, ...]
    padding: tuple[Any, ...]
    dilation: tuple[Any, ...]
    average: bool
    ceil: bool
    count_padding: bool
    divisor: int | None


def pool(node: Node) -> Pooling:
    """The record of the pools of aten that have windows."""
    named = arguments(node)
    axes = spatial_axes(node)
    average = "avg" in _name(node)
    return Pooling(
        named["self"],
        _each(named["kernel_size"], axes),
        # Windows side by side, unless a stride is given.
        _each(named["stride"] or named["kernel_size"], axes),
        _each(named["padding"], axes),
        _each(named.get("dilation", 1), axes),
        average,
        named["ceil_mode"],
        named.get("count_include_pad", average),
        named.get("divisor_override"),
    )


@dataclass(frozen=True)
class Padding:
    """Numbers put around a tensor.

    Attributes:
        input: a tensor.
        widths: two numbers for each padded axis, before and after, the last axis first.
        mode: "constant", "reflect", "replicate" or "circular".
        value: what is put there in mode "constant".
    """

    input: Any
    widths: tuple[Any, ...]
    mode: str
    value: float


def padding(node: Node) -> Padding:
    """The record of aten.pad and aten.constant_pad_nd."""
    named = arguments(node)
    value = named["value"]
    return Padding(
        named["self"],
        tuple(named["pad"]),
        named.get("mode", "constant"),
        0 if value is None else value,
    )


@dataclass(frozen=True)
class Joined:
    """Tensors put together along an axis that they have (cat), or along a new one (stack).

    Attributes:
        tensors: the parts.
        axis: may be negative.
    """

    tensors: tuple[Any, ...]
    axis: int


def joined(node: Node) -> Joined:
    """The record of aten.cat and aten.stack."""
    named = arguments(node)
    return Joined(tuple(named["tensors"]), named["dim"])


@dataclass(frozen=True)
class Slicing:
    """Places of an axis at equal distances.

    Attributes:
        input: a tensor.
        axis: may be negative.
        start, stop: as in Python: negative ones count from the end; a stop of None is the end.
        step: from one place to the next.
    """

    input: Any
    axis: int
    start: Any
    stop: Any
    step: Any


def slice_(node: Node) -> Slicing:
    """The record of aten.slice."""
    named = arguments(node)
    return Slicing(
        named["self"],
        named["dim"],
        0 if named["start"] is None else named["start"],
        named["end"],
        named["step"],
    )


@dataclass(frozen=True)
class Reduction:
    """A mean, sum or extremum along axes.

    Attributes:
        input: a tensor.
        axes: may be negative; empty for all axes.
        keep: whether reduced axes are kept, with size 1.
    """

    input: Any
    axes: tuple[int, ...]
    keep: bool

    def axes_of(self, rank: int) -> tuple[int, ...]:
        """The axes of an input of this rank, counted from the front, in order."""
        return tuple(sorted(axis % rank for axis in self.axes)) or tuple(range(rank))


def reduction(node: Node) -> Reduction:
    """The record of aten.mean, sum, amax and amin with axes."""
    named = arguments(node)
    axes = named["dim"]
    several = [axes] if isinstance(axes, int) else axes or []
    return Reduction(named["self"], tuple(several), bool(named["keepdim"]))


@dataclass(frozen=True)
class Binary:
    """An operator on two operands, tensors or numbers.

    Attributes:
        first, second: the operands.
        factor: what the subtrahend or the second summand is multiplied by.
    """

    first: Any
    second: Any
    factor: Any


def binary(node: Node) -> Binary:
    """The record of aten's add, sub, rsub, mul and div."""
    named = arguments(node)
    return Binary(named["self"], named["other"], named.get("alpha", 1))


def _name(node: Node) -> str:
    return node.target._schema.name.rpartition("::")[2]  # type: ignore[union-attr]


def spatial_axes(node: Node) -> int:
    """How many spatial axes an operator has by its name, such as conv2d; 0 if it does not say."""
    return next((int(letter) for letter in _name(node) if letter.isdigit()), 0)


def _each(value: Any, axes: int) -> tuple[Any, ...]:
    """One number for each axis; torch also accepts a single number for all of them."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    return numbers * axes if len(numbers) == 1 else numbers
