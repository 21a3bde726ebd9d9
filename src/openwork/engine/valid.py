"""Whether a graph that was read from a file can run: checked before any kernel sees it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from openwork.engine.graph import (
    Add,
    Affine,
    Alias,
    Concat,
    Conv,
    Gate,
    Graph,
    Island,
    Mean,
    Node,
    Pool,
    Slice,
    Value,
    root,
)
from openwork.engine.plain import Unplain
from openwork.kernels.problem import Geometry


def check_order(graph: Graph) -> None:
    """Every value is made once, and before it is read.

    Raises:
        Unplain: one is not.
    """
    made: set[Value] = set()
    for value in graph.inputs:
        _make(value, made)
    for node in graph.nodes:
        unmade = [value.name for value in node.inputs if root(value) not in made]
        if unmade:
            raise Unplain(f"a {type(node).__name__} reads {unmade} before it is made")
        _make(node.output, made)
    if any(root(value) not in made for value in graph.outputs):
        raise Unplain("a result is never made")


def check_node(node: Node) -> None:
    """The sizes of one node.

    Raises:
        Unplain: they do not fit each other.
    """
    try:
        if isinstance(node, Island):
            _require(_values((node.args, node.kwargs)) == node.inputs, "other inputs")
            return
        for value in (*node.inputs, node.output):
            _require(bool(value.shape) and min(value.shape) >= 1, "a value of unknown size")
        _RULES[type(node)](node)
    except Unplain as reason:
        raise Unplain(f"{type(node).__name__} {node.output.name!r} has {reason}") from reason


def _make(value: Value, made: set[Value]) -> None:
    if isinstance(value, Alias) or value in made:
        raise Unplain(f"{value.name!r} is made twice, or under another name")
    made.add(value)


def _values(tree: Any) -> list[Value]:
    if isinstance(tree, Value):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [value for item in tree for value in _values(item)] if _nested(tree) else []


def _nested(tree: Any) -> bool:
    return isinstance(tree, list | tuple)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Unplain(what)


def _inputs(node: Node, *counts: int) -> None:
    _require(len(node.inputs) in counts, f"{len(node.inputs)} inputs")


def _conv(conv: Conv) -> None:
    _inputs(conv, 1, 2)
    out, inside, *kernel = conv.shape
    sizes = (*conv.shape, *conv.size, *conv.stride, *conv.dilation, conv.groups)
    _require(min(sizes) >= 1 and min(conv.padding) >= 0, "a size below 1")
    _require(max(*sizes, *conv.padding) <= _LARGEST, "a size beyond any")
    _require(out % conv.groups == 0, f"{conv.groups} groups of {out} filters")
    window = (kernel[0], kernel[1]), conv.stride, conv.padding, conv.dilation
    height, width = Geometry(inside * conv.groups, out, conv.size, *window).out_size
    _require(min(height, width) >= 1, "a kernel larger than its map")
    first, *residual = conv.inputs
    _require(first.floats == inside * conv.groups * math.prod(conv.size), "another input")
    for value in (conv.output, *residual):
        _require(value.floats == out * height * width, "another output")
    if conv.linear:
        _require((height, width, *conv.size, *kernel) == (1,) * 6, "a linear layer over a map")
        _require(conv.groups == 1, "a linear layer with groups")
    _require(conv.weight.dtype == np.float32, "a weight that is no float32")
    if conv.weight.ndim == 1:
        _require(conv.weight.shape == conv.positions.shape, "another number of live weights")
    else:
        _require(conv.weight.shape == conv.shape, "a weight of another shape")
    if conv.bias is not None:
        _require(_vector(conv.bias, np.float32, out), "a bias of another shape")


# Of what torch runs too; the kernels' own bounds are dispatch's to check.
_LARGEST = (1 << 31) - 1


def _pool(pool: Pool) -> None:
    _inputs(pool, 1)
    before, after = pool.inputs[0].shape, pool.output.shape
    _require(len(before) == len(after) == 3 and before[0] == after[0], "no maps")
    _require(pool.refusal() is None, "a size beyond any")
    if pool.shift is not None:
        _require(_vector(pool.shift, np.float32, after[0]), "a shift of another shape")


def _mean(mean: Mean) -> None:
    _inputs(mean, 1)
    shape = mean.inputs[0].shape
    _require(len(shape) == 3 and mean.output.floats == shape[0], "no maps")


def _add(add: Add) -> None:
    _inputs(add, 1, 2)
    _require(all(value.floats == add.output.floats for value in add.inputs), "unequal sizes")


def _affine(affine: Affine) -> None:
    _inputs(affine, 1)
    channels = affine.inputs[0].shape[0]
    _require(affine.inputs[0].floats == affine.output.floats, "unequal sizes")
    for numbers in (affine.scale, affine.shift):
        known = _vector(numbers, np.float64, channels) or _vector(numbers, np.float32, channels)
        _require(known, "not one number for each channel")


def _gate(gate: Gate) -> None:
    _inputs(gate, 2)
    maps, gates = gate.inputs
    _require(maps.floats == gate.output.floats, "unequal sizes")
    _require(gates.floats == maps.shape[0], "not one gate for each map")


def _concat(concat: Concat) -> None:
    _require(bool(concat.parts) and len(concat.parts) == len(concat.channels), "uneven parts")
    _require([part for part in concat.parts if part is not None] == concat.inputs, "other inputs")
    _require(min(concat.channels) >= 1, "a part without channels")
    pixels = concat.output.floats // concat.output.shape[0]
    _require(sum(concat.channels) == concat.output.shape[0], "another number of channels")
    for part, channels in zip(concat.parts, concat.channels, strict=True):
        _require(part is None or part.floats == channels * pixels, "a part of another size")


def _slice(part: Slice) -> None:
    _inputs(part, 1)
    source, output = part.inputs[0].shape, part.output.shape
    _require(source[1:] == output[1:], "maps of another size")
    _require(0 <= part.first <= source[0] - output[0], "channels that are not there")


def _vector(numbers: np.ndarray, dtype: Any, length: int) -> bool:
    return numbers.dtype == dtype and numbers.shape == (length,)


_RULES: dict[type[Node], Callable[[Any], None]] = {
    Conv: _conv,
    Pool: _pool,
    Mean: _mean,
    Add: _add,
    Affine: _affine,
    Gate: _gate,
    Concat: _concat,
    Slice: _slice,
}
