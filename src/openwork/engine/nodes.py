"""A node of the engine's graph as plain data, and back: its dataclass says what it must hold."""

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch

from openwork.engine.graph import Conv, Island, Node
from openwork.engine.operators import name_of, operator_named
from openwork.engine.plain import Decoder, Encoder, Unplain
from openwork.patterns import Pattern

_KINDS: dict[str, type[Node]] = {kind.__name__: kind for kind in Node.__subclasses__()}


def encode_node(node: Node, encoder: Encoder, weight: torch.Tensor | None) -> dict[str, Any]:
    """`node` as JSON.

    Args:
        node: the node.
        encoder: takes its values and tensors.
        weight: the dense weight of a convolution that torch runs; it is kept as it is.

    Raises:
        Unplain: an operator that a file may not name, or an argument that is no plain data.
    """
    given = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    if isinstance(node, Island):
        given["target"] = name_of(node.target)
    if isinstance(node, Conv):
        if weight is not None:
            given |= {"positions": None, "weight": weight.numpy()}
        else:
            given["positions"] = _pattern(node)
    return {"kind": type(node).__name__} | {
        name: encoder.encode(value) for name, value in given.items()
    }


def decode_node(record: Any, decoder: Decoder) -> Node:
    """The inverse of `encode_node`; a convolution that torch runs has its dense weight.

    Such a convolution has no positions, and a `weight` of four axes.

    Raises:
        Unplain: a field is missing, unknown, or of another kind than its dataclass says.
    """
    kind = _KINDS.get(record["kind"])
    if kind is None:
        raise Unplain(f"{record['kind']!r} is no kind of node")
    given = {name: decoder.decode(item) for name, item in record.items() if name != "kind"}
    if kind is Island:
        given["target"] = operator_named(given["target"])
    if kind is Conv:
        held = given["positions"]
        given["positions"] = _positions(held, given["shape"], given["groups"])
    hints = get_type_hints(kind)
    if given.keys() != hints.keys():
        raise Unplain(f"a {kind.__name__} has the fields {sorted(hints)}, not {sorted(given)}")
    for name, value in given.items():
        if not fits(value, hints[name]):
            raise Unplain(f"`{name}` of a {kind.__name__} must be {hints[name]}")
    return kind(**given)


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type, items included."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if origin is Callable:
        return callable(value)
    if origin is list:
        return type(value) is list and all(fits(item, inside[0]) for item in value)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        if len(inside) == 2 and inside[1] is Ellipsis:
            return all(fits(item, inside[0]) for item in value)
        return len(value) == len(inside) and all(map(fits, value, inside))
    if origin is dict:
        return type(value) is dict and all(isinstance(key, inside[0]) for key in value)
    # A truth is a whole number to Python, and must not be one here.
    return isinstance(value, hint) and (hint is bool) == isinstance(value, bool)


def _pattern(conv: Conv) -> Pattern:
    taps = np.zeros(int(np.prod(conv.shape)), dtype=bool)
    taps[conv.positions] = True
    return Pattern(taps.reshape(conv.shape), conv.groups)


def _positions(held: Any, shape: Any, groups: Any) -> np.ndarray:
    if held is None:
        return np.zeros(0, dtype=np.int64)
    if not isinstance(held, Pattern) or (held.shape, held.groups) != (shape, groups):
        raise Unplain("a layer's pattern is of another shape than the layer")
    return held.positions
