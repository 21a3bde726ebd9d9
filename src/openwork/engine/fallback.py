"""What torch runs: operators without a kernel, and convolutions that are faster in torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F

from openwork.engine.operators import name_of, operator_named
from openwork.engine.segment import Environment
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.layers import TORCH, Packs
from openwork.runtime.node import FALLBACK, Node
from openwork.runtime.nodes import Conv
from openwork.runtime.values import Alias, Value, root


@dataclass(eq=False)
class Fallback(Node):
    """One operator that the engine leaves to torch.

    Attributes:
        target: an operator of torch, or a function of Python on sizes.
        args, kwargs: its arguments: values, constants and plain data, in nested lists.
        reason: why it was left.
    """

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reason: str
    kind: ClassVar[str] = FALLBACK

    def check(self) -> None:
        require(
            _values((self.args, self.kwargs)) == self.inputs, "its arguments must be its inputs"
        )

    def emit(self, to: Emission) -> None:
        raise NotImplementedError(f"torch runs {self.target}")

    def fields(self) -> dict[str, Any]:
        return super().fields() | {"target": name_of(self.target)}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        return super().from_fields(fields | {"target": operator_named(fields["target"])})


class TorchOperator:
    """Runs one `Fallback`."""

    def __init__(self, node: Fallback) -> None:
        self._target: Any = node.target
        self._arguments = _map_leaves((node.args, node.kwargs))
        self._output = root(node.output)
        self.reads = [root(value) for value in node.inputs]
        self.steps = [node.step]

    def run(
        self, tensors: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Add the output to `tensors`."""
        began = time.perf_counter()

        def fetch(leaf: Any) -> Any:
            if isinstance(leaf, Alias):
                return tensors[leaf.of].contiguous().view(batch, *leaf.shape)
            return tensors[leaf] if isinstance(leaf, Value) else leaf

        args, kwargs = _map_leaves(self._arguments, fetch)
        tensors[self._output] = self._target(*args, **kwargs)
        if seconds is not None:
            seconds[0] = time.perf_counter() - began


class TorchConv:
    """Runs a convolution that is faster in torch.

    Args:
        conv: the layer, with its dense weight or its live weights.
        packs: of the layer at other sizes, which then share the dense weight.

    Attributes:
        weight: the dense weight.
    """

    def __init__(self, conv: Conv, packs: Packs | None = None) -> None:
        shared = {} if packs is None else packs
        if (TORCH,) not in shared:
            shared[TORCH,] = conv.weight if conv.is_dense else conv.dense_weight()
        dense = shared[TORCH,]
        self.weight = torch.from_numpy(dense)
        self._bias = None if conv.bias is None else torch.from_numpy(conv.bias)
        # The list of live taps would take more memory than the layer itself.
        self._conv = conv.without_weights()
        self.reads = [root(value) for value in conv.inputs]
        self.steps = [conv.step]

    def run(
        self, tensors: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Add the output to `tensors`."""
        began = time.perf_counter()
        conv = self._conv
        channels = self.weight.shape[1] * conv.groups
        input = tensors[root(conv.inputs[0])].reshape(batch, channels, *conv.size)
        if conv.linear:
            result = F.linear(input.flatten(1), self.weight.flatten(1), self._bias)
        else:
            geometry = conv.stride, conv.padding, conv.dilation, conv.groups
            result = F.conv2d(input, self.weight, self._bias, *geometry)
        if len(conv.inputs) > 1:
            result += tensors[root(conv.inputs[1])].reshape(result.shape)
        if conv.activation != "none":
            getattr(torch.ops.aten, f"{conv.activation}_")(result)
        tensors[root(conv.output)] = result.reshape(batch, *root(conv.output).shape)
        if seconds is not None:
            seconds[0] = time.perf_counter() - began


def _map_leaves(tree: Any, leaf: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """`tree` as plain tuples, lists and dicts, with `leaf` of each leaf."""
    if isinstance(tree, tuple):
        return tuple(_map_leaves(item, leaf) for item in tree)
    if isinstance(tree, list):
        return [_map_leaves(item, leaf) for item in tree]
    if isinstance(tree, dict):
        return {key: _map_leaves(item, leaf) for key, item in tree.items()}
    return leaf(tree)


def _values(tree: Any) -> list[Value]:
    """The values in nested arguments, in order."""
    values: list[Value] = []
    _map_leaves(tree, lambda leaf: values.append(leaf) if isinstance(leaf, Value) else None)
    return values
