"""One gradient for each batch and layer, in the shapes that scores are made from."""

import numpy as np
import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import Plan, sparsify_
from openwork.patterns import Pattern
from openwork.prune.loss_gradients import loss_gradients, times_weight
from openwork.prune.units.layers import cuttable_layers

BATCHES = [(torch.tensor([[1.0, 2.0]]), 3.0), (torch.tensor([[5.0, -1.0]]), 0.5)]


def _scaled(outputs: torch.Tensor, target: float) -> torch.Tensor:
    return target * outputs.sum()


def _scaled_square(outputs: torch.Tensor, target: float) -> torch.Tensor:
    return target * outputs.square().sum()


def test_weight_times_gradient_of_each_batch_at_its_place_in_the_dense_weight() -> None:
    alive = np.array([[True, False], [True, True]])
    dense = nn.Sequential(nn.Linear(2, 2, bias=False))
    layer = dense[0]
    assert isinstance(layer, nn.Linear)
    layer.weight.data = torch.tensor([[1.0, 0.0], [-2.0, 4.0]])
    model = sparsify_(dense, Plan({"0": Pattern(alive)}), init="keep")
    layers = list(cuttable_layers(model).values())
    found = [
        times_weight(layers, gradients)["0"]
        for gradients in loss_gradients(model, layers, BATCHES, _scaled, "any")
    ]
    # d(target * sum of outputs) / d weight[o][i] = target * x[i].
    np.testing.assert_array_equal(found[0], [[3.0, 0.0], [-6.0, 24.0]])
    np.testing.assert_array_equal(found[1], [[2.5, 0.0], [-5.0, -2.0]])


def test_gradients_can_be_differentiated_again_on_request() -> None:
    layer = nn.Linear(2, 1, bias=False)
    model = nn.Sequential(layer)
    layers = list(cuttable_layers(model).values())
    once = next(loss_gradients(model, layers, BATCHES, _scaled_square, "any"))
    assert not once[0].requires_grad
    twice = next(loss_gradients(model, layers, BATCHES, _scaled_square, "any", create_graph=True))
    (second,) = torch.autograd.grad(twice[0].sum(), layer.weight)
    # The Hessian of 3 (w . x)^2 is 6 x x^T; its rows add up to 6 x (x1 + x2).
    torch.testing.assert_close(second, torch.tensor([[18.0, 36.0]]))


def test_messages_name_who_asks() -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    layers = list(cuttable_layers(model).values())
    with pytest.raises(ArgumentError, match="`loss`=None: `criterion`='mine' needs"):
        next(loss_gradients(model, layers, BATCHES, None, "mine"))
    with pytest.raises(ArgumentError, match="`batches` is empty; `criterion`='mine'"):
        next(loss_gradients(model, layers, [], _scaled, "mine"))
    model.requires_grad_(False)
    with pytest.raises(ArgumentError, match="'mine' needs gradients, but the weights of 0"):
        next(loss_gradients(model, layers, BATCHES, _scaled, "mine"))


class Freezes(nn.Module):
    """Freezes the weight of its layer when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.layer.weight.requires_grad_(False)
        return self.layer(input)


def test_weights_that_the_network_freezes_when_it_runs_are_refused() -> None:
    model = Freezes()
    layers = list(cuttable_layers(model).values())
    with pytest.raises(ArgumentError, match="freezes weights when it runs"):
        next(loss_gradients(model, layers, BATCHES, _scaled, "any"))
