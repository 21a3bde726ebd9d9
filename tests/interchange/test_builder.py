"""Graphs are built of what is not known yet; the rest is computed at once."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.network import OnnxNetwork
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import Constant, NotReadable, ShapeNumbers


def _node(name: str = "n") -> OnnxNode:
    return OnnxNode("Op", name, 18, (), 1, {})


def _run(net: Builder, result: Any, *inputs: torch.Tensor) -> Any:
    net.graph.output(result)
    return OnnxNetwork(net.root, net.graph, ())(*inputs)


def test_constants_are_computed_at_once() -> None:
    net = Builder()
    found = net.call(torch.add, Constant(torch.tensor([1.0])), ShapeNumbers((2,)))
    assert found.tensor.tolist() == [3.0]
    assert len(net.graph.nodes) == 0
    with pytest.raises(NotReadable, match="numbers from constants"):
        net.call(torch.ones, 1 << 30)


def test_sizes_become_tensors_where_one_is_needed() -> None:
    net = Builder()
    x = net.graph.placeholder("x")
    sizes = ShapeNumbers((net.size(x, 0), 7))
    found = _run(net, net.call(torch.add, sizes, Constant(torch.tensor(1))), torch.zeros(5, 2))
    assert found.tolist() == [6, 8]


def test_constants_become_parameters_or_buffers_once() -> None:
    net = Builder()
    x = with_rank(net.graph.placeholder("x"), 2)
    weight = Constant(torch.tensor([1.0, 2.0]), "a.b")
    total = net.call(torch.add, net.call(torch.add, x, weight), weight)
    total = net.call(torch.add, total, Constant(torch.tensor([3.0])))
    assert _run(net, total, torch.zeros(1, 2)).tolist() == [[5.0, 7.0]]
    assert [name for name, _ in net.root.named_parameters()] == ["a_b"]
    assert [name for name, _ in net.root.named_buffers()] == ["constant"]
    assert (rank_of(x), rank_of(weight), rank_of(ShapeNumbers((1,), True))) == (2, 1, 0)


def test_modules_lie_where_their_names_say_and_replace_nothing() -> None:
    net = Builder()
    x = net.graph.placeholder("x")
    for name in ("/a/b/Op", "/a/b/Op", "/a/forward/Op", "training"):
        x = net.module(nn.ReLU(), _node(name), x)
    names = [name for name, module in net.root.named_modules() if isinstance(module, nn.ReLU)]
    assert names == ["a.b", "a.b_2", "a.forward_2", "training_2"]
    assert _run(net, x, torch.tensor([-1.0, 1.0])).tolist() == [0, 1]


def test_one_parameter_for_each_constant_and_shape() -> None:
    net = Builder()
    constant = Constant(torch.zeros(2, 3), "w")
    assert net.parameter(constant) is net.parameter(constant)
    turned = Constant(torch.zeros(3, 2), "w")
    assert net.parameter(turned, "transposed").shape == (3, 2)
    assert net.parameter(turned).shape == (3, 2)
