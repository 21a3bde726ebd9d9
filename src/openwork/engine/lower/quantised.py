"""Exported operators of quantised networks: numbers to whole numbers and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, arguments
from openwork.engine.lower.context import Lowering, NarrowWeight, array
from openwork.engine.lower.in_memory import InMemory, Made, in_memory, through
from openwork.runtime.node import Node
from openwork.runtime.nodes import Dequantize, Quantize
from openwork.runtime.nodes.quantised import bytes_of
from openwork.runtime.values import Value

# By name: most networks never need the file of torch that registers these operators.
_LIBRARY = "quantized_decomposed"
_QUANTIZE = f"{_LIBRARY}.quantize_per_tensor.default"
_DEQUANTIZE = f"{_LIBRARY}.dequantize_per_tensor.default"
_DEQUANTIZE_CHANNELS = f"{_LIBRARY}.dequantize_per_channel.default"

# What is added to signed bytes.
_OFFSETS = {torch.uint8: 0, torch.int8: 128}


class Bytes(NamedTuple):
    """How numbers are held in uint8.

    Attributes:
        scale, zero: q stands for `(q - zero) * scale`.
        least, most: bounds of q.
    """

    scale: float
    zero: int
    least: int
    most: int


def form_of(fx: FxNode) -> Bytes:
    """How a quantisation, or what undoes one, holds its numbers.

    Raises:
        NotUnderstood: not in bytes with a constant scale.
    """
    given = arguments(fx)
    scale, zero = given["scale"], given["zero_point"]
    offset = _OFFSETS.get(given["dtype"])
    bounds = given["quant_min"], given["quant_max"]
    if offset is None or not isinstance(scale, float) or not isinstance(zero, int):
        raise NotUnderstood("not to bytes with a constant scale")
    form = Bytes(scale, *(number + offset for number in (zero, *bounds)))
    if not 0 <= form.least <= form.zero <= form.most <= 255 or not scale > 0:
        raise NotUnderstood("a zero point or bounds beyond a byte")
    return form


def _quantize(known: Lowering, fx: FxNode) -> Made:
    held, form = in_memory(known, arguments(fx)["input"]), form_of(fx)
    if any(str(user.target) != _DEQUANTIZE or not _is_read(user) for user in fx.users):
        raise NotUnderstood("its whole numbers are read")
    known.bytes[fx] = output = bytes_of(held.value.floats, fx.name)
    known.orders[fx] = held.order
    return [*held.nodes, Quantize([held.value], output, *form)]


def _dequantize(known: Lowering, fx: FxNode) -> Made:
    source = arguments(fx)["input"]
    if source not in known.bytes:
        raise NotUnderstood("of whole numbers that torch computes")
    form, order, output = form_of(fx), known.orders[source], known.output(fx)
    shape = tuple(output.shape[order.index(axis)] for axis in range(len(order)))
    held = InMemory(Value(shape, output.name), order)

    def floats(made: Value) -> Node:
        return Dequantize([known.bytes[source]], made, form.scale, form.zero)

    return through(known, fx, held, floats)


def _is_read(fx: FxNode) -> bool:
    """Whether a dequantisation is one that `_dequantize` takes."""
    held = fx.meta.get("val")
    try:
        form_of(fx)
    except NotUnderstood:
        return False
    return isinstance(held, torch.Tensor) and held.dtype == torch.float32


def narrow_weight(fx: FxNode, constants: dict[str, Any]) -> NarrowWeight | None:
    """The int8 numbers behind a constant; None if they are not symmetric or of another kind."""
    target = str(fx.target)
    if target not in (_DEQUANTIZE, _DEQUANTIZE_CHANNELS):
        return None
    given = arguments(fx)
    numbers = constants[given["input"].name]
    if numbers.dtype != torch.int8 or numbers.dim() < 2:
        return None
    if target == _DEQUANTIZE:
        scale, zero = (np.asarray([given[name]]) for name in ("scale", "zero_point"))
    else:
        if given["axis"] != 0:
            return None
        held = (given[name] for name in ("scales", "zero_points"))
        scale, zero = (array(constants[each.name]) for each in held)
    if zero.any() or not np.isfinite(scale).all():
        return None
    scales = np.broadcast_to(scale.astype(np.float64), (len(numbers),)).copy()
    return NarrowWeight(array(numbers), scales)


QUANTISED: dict[str, Callable[[Lowering, FxNode], Made]] = {
    _QUANTIZE: _quantize,
    _DEQUANTIZE: _dequantize,
}
