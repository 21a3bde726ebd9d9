"""A captured network as the engine sees it: values, and nodes that make them.

A value's shape is that of one image: the batch axis is left out. What the engine does not know
stays an `Island` of torch operators.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.kernels.to_native import native_activation


@dataclass(eq=False)
class Value:
    """A tensor between nodes; two names for the same numbers are one value.

    Attributes:
        shape: of one image, such as (channels, height, width).
        name: for tables and messages.
    """

    shape: tuple[int, ...]
    name: str

    @property
    def floats(self) -> int:
        """Numbers in one image."""
        return int(np.prod(self.shape))


class Alias(Value):
    """Another shape for the numbers of `of`."""

    def __init__(self, of: Value, shape: tuple[int, ...]) -> None:
        super().__init__(shape, of.name)
        self.of = root(of)


def root(value: Value) -> Value:
    """The value whose numbers `value` names."""
    return value.of if isinstance(value, Alias) else value


@dataclass(eq=False)
class Node:
    """One step: `inputs` to `output`."""

    inputs: list[Value]
    output: Value


@dataclass(eq=False)
class Conv(Node):
    """A convolution, or a linear layer as a 1x1 convolution of a 1x1 map.

    `inputs` is the map, and if there is a second, what is added before the activation.

    Attributes:
        layer: qualified name of the layer it was.
        size: (height, width) of the input map.
        shape: of the dense weight.
        stride, padding, dilation: (vertical, horizontal).
        groups: groups of the convolution.
        positions: (live,) places of the live taps in the dense weight, rising.
        weight: (live,) float32.
        bias: (out_channels,) float32 or None.
    """

    layer: str
    size: tuple[int, int]
    shape: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    positions: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    activation: Activation = "none"
    linear: bool = False

    @property
    def density(self) -> float:
        """Live taps / all taps."""
        return self.positions.size / int(np.prod(self.shape))

    def dense_weight(self) -> np.ndarray:
        """The weight with zeros, of `shape`; no copy if there are none."""
        if self.density == 1:
            return self.weight.reshape(self.shape)
        dense = np.zeros(int(np.prod(self.shape)), dtype=np.float32)
        dense[self.positions] = self.weight
        return dense.reshape(self.shape)


@dataclass(eq=False)
class Pool(Node):
    """A maximum or average over windows; an average may add `shift` and apply an activation."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    average: bool
    count_padding: bool
    shift: np.ndarray | None = None
    activation: Activation = "none"

    def native(self) -> "_C.Pool":
        """As the extension takes it; raises ValueError for sizes that the kernel does not take."""
        channels, height, width = self.inputs[0].shape
        out_height, out_width = self.output.shape[1:]
        return _C.Pool(
            channels=channels,
            height=height,
            width=width,
            kernel_y=self.kernel[0],
            kernel_x=self.kernel[1],
            stride_y=self.stride[0],
            stride_x=self.stride[1],
            pad_y=self.padding[0],
            pad_x=self.padding[1],
            out_height=out_height,
            out_width=out_width,
            average=self.average,
            count_padding=self.count_padding,
            activation=native_activation(self.activation),
        )

    def refusal(self) -> str | None:
        """Why the kernel does not take such sizes, or None."""
        try:
            self.native()
        except ValueError as error:
            return str(error)
        return None


@dataclass(eq=False)
class Mean(Node):
    """The mean of each map."""


@dataclass(eq=False)
class Add(Node):
    """The sum of one or two values, then an activation."""

    activation: Activation = "none"


@dataclass(eq=False)
class Affine(Node):
    """Each channel times `scale` plus `shift`, then an activation."""

    scale: np.ndarray
    shift: np.ndarray
    activation: Activation = "none"


@dataclass(eq=False)
class Gate(Node):
    """Each map of the first input times one number of the second."""


@dataclass(eq=False)
class Concat(Node):
    """Inputs side by side along the channels; None stands for zero channels."""

    parts: list[Value | None] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Slice(Node):
    """Channels from `first` on, as many as the output has."""

    first: int


@dataclass(eq=False)
class Island(Node):
    """One torch operator that the engine leaves to torch.

    Attributes:
        target: an operator of torch, or a function of Python on sizes.
        args, kwargs: what it is given: values, constants and plain data, in nested lists.
        reason: why it was left.
    """

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reason: str


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run.

    Attributes:
        inputs: values of the network's inputs.
        results: what the network returns, flat: values, and constants of any kind.
        nodes: the steps.
    """

    inputs: list[Value]
    results: list[Any]
    nodes: list[Node]

    @property
    def outputs(self) -> list[Value]:
        """Values among the results."""
        return [result for result in self.results if isinstance(result, Value)]

    def read_once(self, value: Value) -> bool:
        """Whether one node reads `value` and the network does not return it."""
        own = root(value)
        reads = sum(root(v) is own for node in self.nodes for v in node.inputs)
        return reads == 1 and not any(root(v) is own for v in self.outputs)

    def replace(self, old: Sequence[Node], new: Iterable[Node]) -> None:
        """Put `new` where the last of `old` stands, and take `old` away."""
        last = max(index for index, node in enumerate(self.nodes) if node in old)
        kept_before = [node for node in self.nodes[:last] if node not in old]
        self.nodes = [*kept_before, *new, *self.nodes[last + 1 :]]
