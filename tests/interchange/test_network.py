"""Networks of files are ordinary modules: they copy, pickle, and drop what they no longer need."""

import copy
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import fx, nn

from openwork.interchange.network import OnnxNetwork


def add(x: torch.Tensor, others: list[Any], factor: float = 1.0) -> torch.Tensor:
    """The sum, times a factor."""
    return (x + others[0] + others[1]) * factor


def _network() -> OnnxNetwork:
    root, graph = nn.Module(), fx.Graph()
    root.add_module("inner", nn.Sequential(nn.ReLU()))
    root.register_buffer("one", torch.ones(2))
    x, y = graph.placeholder("x"), graph.placeholder("y")
    graph.call_function(torch.neg, (x,))
    rectified = graph.call_module("inner.0", (x,))
    total = graph.call_function(add, (rectified, [y, graph.get_attr("one")]), {"factor": 2.0})
    graph.output((total, rectified))
    return OnnxNetwork(root, graph, ())


def test_runs_by_position_and_by_name() -> None:
    network = _network()
    x, y = torch.tensor([-1.0, 3.0]), torch.tensor([1.0, 1.0])
    for found in (
        network(x, y),
        network(y=y, x=x),
        copy.deepcopy(network)(x, y),
        pickle.loads(pickle.dumps(network))(x, y),
    ):
        assert [each.tolist() for each in found] == [[4, 10], [0, 3]]
    assert len(network._steps.steps) == 3
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        network(x)


def test_results_are_dropped_after_their_last_use() -> None:
    root, graph = nn.Module(), fx.Graph()
    seen: list[Any] = []

    class _Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            alive = [each for each in seen if each() is not None]
            assert len(alive) <= 1
            found = x + 1
            seen.append(weakref.ref(found))
            return found

    node = graph.placeholder("x")
    for index in range(5):
        root.add_module(f"m{index}", _Watch())
        node = graph.call_module(f"m{index}", (node,))
    graph.output(node)
    assert OnnxNetwork(root, graph, ())(torch.zeros(1)).item() == 5
