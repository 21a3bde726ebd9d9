"""Weights go back to their places, and lengths come from the inputs."""

from typing import Any

import pytest
import torch
from dynamo_graphs import graphs
from torch import nn

from openwork.engine.dynamo.bound import Bound, Refused


class Net(nn.Module):
    """Gives a tensor, the batch size and None."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("factor", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> Any:
        return (self.layer(x) * self.factor).view(x.shape[0], 3, 1), x.shape[0]


def test_parameters_and_buffers_are_weights_and_the_rest_is_input() -> None:
    model, x = Net(), torch.randn(2, 4)
    ((graph, given),) = graphs(model, (x,))
    bound = Bound(graph, given)
    assert {id(given[index]) for index in bound.weights} == {
        id(tensor) for tensor in (model.layer.weight, model.layer.bias, model.factor)
    }
    assert [given[index] is x for index in bound.inputs] == [True]
    assert bound.varies == []
    torch.testing.assert_close(bound(x), (model(x)[0],))


def test_a_length_that_varies_is_read_from_the_input_that_has_it() -> None:
    model = Net()
    *_, (graph, given) = graphs(model, (torch.randn(2, 4),), (torch.randn(5, 4),))
    bound = Bound(graph, given)
    assert bound.varies == [(0, 0)]
    x = torch.randn(7, 4)
    (output,) = bound(x)
    torch.testing.assert_close(output, model(x)[0])
    arguments = [7 if isinstance(value, int | torch.SymInt) else value for value in given]
    results = bound.results(arguments, [output])
    assert len(results) == 2
    assert results[0] is output
    assert results[1] == 7


def test_other_weights_take_the_places_of_the_first() -> None:
    model, x = Net(), torch.randn(2, 4)
    ((graph, given),) = graphs(model, (x,))
    bound = Bound(graph, given)
    doubled = [2 * value if index in bound.weights else value for index, value in enumerate(given)]
    bound.bind(doubled)
    torch.testing.assert_close(bound(x)[0], 4 * model(x)[0])


def test_computed_numbers_are_refused() -> None:
    def network(x: torch.Tensor, layer: nn.Linear) -> Any:
        return layer(x), x.shape[0] * 2

    calls = [(torch.randn(n, 4), nn.Linear(4, 3)) for n in (2, 5)]
    *_, (graph, given) = graphs(network, *calls, dynamic=True)
    with pytest.raises(Refused, match="a result is a SymInt that is computed, not a tensor"):
        Bound(graph, given)
