"""`Steps`: a graph as plain data; nested arguments, and nothing that no one reads."""

import operator
import pickle

import torch
from torch import fx, nn

from openwork.capture.steps import Steps


def test_functions_modules_and_buffers_in_order() -> None:
    graph, network = fx.Graph(), nn.Module()
    network.add_module("inner", nn.Sequential(nn.ReLU()))
    network.register_buffer("one", torch.tensor([1.0, 2.0]))
    x = graph.placeholder("x")
    graph.call_function(torch.neg, (x,))
    rectified = graph.call_module("inner.0", (x,))
    both = graph.call_function(torch.stack, ([rectified, graph.get_attr("one")],), {"dim": 0})
    graph.output((both, [x], 3))
    steps = pickle.loads(pickle.dumps(Steps.of(graph)))
    assert [step.name for step in steps.steps] == ["inner_0", "one", "stack"]
    found, given, constant = steps.run(network, [torch.tensor([-1.0, 5.0])])
    assert found.tolist() == [[0, 5], [1, 2]]
    assert [each.tolist() for each in given] == [[-1, 5]]
    assert constant == 3


def test_each_result_is_dropped_after_its_last_reader() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    one = graph.call_function(operator.add, (x, 1))
    two = graph.call_function(operator.mul, (one, 2))
    three = graph.call_function(operator.sub, (two, one))
    graph.output(three)
    assert [step.last for step in Steps.of(graph).steps] == [(), (), ("add", "mul")]
    assert Steps.of(graph).run(nn.Module(), [4]) == 5
