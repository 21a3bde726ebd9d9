"""Inputs and attributes of a node, with the reason where they are not what is needed."""

from typing import Any

import pytest
import torch
from torch import fx

from openwork.interchange.onnx_node import OnnxNode, dtype_named
from openwork.interchange.values import Constant, NotReadable, ShapeNumbers

NODE = fx.Graph().placeholder("x")


def _node(*inputs: Any, outputs: int = 1, **attributes: Any) -> OnnxNode:
    return OnnxNode("Op", "name", 18, inputs, outputs, attributes)


def test_inputs() -> None:
    node = _node(NODE, None, Constant(torch.tensor([1, 2])), ShapeNumbers((3, NODE)))
    assert node.input(0) is NODE
    assert (node.optional(1), node.optional(9), node.ints(1), node.number(1, 7)) == (
        None,
        None,
        None,
        7,
    )
    assert (node.ints(2), node.sizes(3)) == ([1, 2], [3, NODE])
    for read, message in (
        (lambda: node.input(1), "input 1 is not given"),
        (lambda: node.constant(0), "input 0 is computed"),
        (lambda: node.constant(3), "input 3 is computed"),
        (lambda: node.number(2), "must be a single number"),
        (lambda: node.sizes(0), "must be sizes, not computed from data"),
    ):
        with pytest.raises(NotReadable, match=message):
            read()


def test_attributes() -> None:
    node = _node(NODE, mode="b", axes=[1], axis=2)
    assert node.text("mode", "a", ("a", "b")) == "b"
    assert (node.ints(5, "axes"), node.ints(5, "axis")) == ([1], [2])
    with pytest.raises(NotReadable, match="`mode` is 'b', but must be one of a, c"):
        node.text("mode", "a", ("a", "c"))
    with pytest.raises(NotReadable, match="second result is read"):
        _node(NODE, outputs=2).needs_one_output()


def test_whether_all_are_sizes() -> None:
    constant = Constant(torch.tensor([1]))
    assert _node(ShapeNumbers((NODE,)), constant, None).are_sizes()
    assert not _node(constant, constant).are_sizes()
    assert not _node(ShapeNumbers((NODE,)), NODE).are_sizes()


def test_dtypes() -> None:
    assert dtype_named(7) == torch.int64
    with pytest.raises(NotReadable, match="the type 8 is not one"):
        dtype_named(8)
