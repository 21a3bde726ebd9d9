"""Perceptrons: the name holds the widths."""

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.models import build, describe


def test_parameters_and_shape() -> None:
    model = build("mlp:784-100-10", in_channels=1, image_size=28)
    by_hand = 784 * 100 + 100 + 100 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == by_hand == 79_510
    assert model(torch.randn(3, 1, 28, 28)).shape == (3, 10)


def test_relu_between_but_not_after() -> None:
    model = build("mlp:48-30-20-5", image_size=4, num_classes=5)
    kinds = [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in model.children()] == kinds


def test_only_hidden_widths_are_scaled() -> None:
    model = build("mlp:48-30-5", image_size=4, num_classes=5, depth_multiplier=0.1)
    weights = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    assert weights == [(3, 48), (5, 3)]


def test_no_hidden_layer_is_a_linear_model() -> None:
    model = build("mlp:48-5", image_size=4, num_classes=5)
    assert sum(p.numel() for p in model.parameters()) == 48 * 5 + 5


def test_describe() -> None:
    assert describe("mlp:784-100-10").startswith("A multi-layer perceptron")


def test_the_first_width_must_fit_the_image() -> None:
    with pytest.raises(ArgumentError, match=r"first width 784 must equal .* = 3 \* 32\*\*2 = 3072"):
        build("mlp:784-100-10")


def test_the_last_width_must_fit_the_classes() -> None:
    with pytest.raises(ArgumentError, match="last width 10 must equal `num_classes`, which is 7"):
        build("mlp:784-100-10", in_channels=1, image_size=28, num_classes=7)


@pytest.mark.parametrize(
    "widths", ["", "784", "784-", "784--10", "784-0-10", "784-x-10", "7.5-10", f"{'9' * 5000}-10"]
)
def test_malformed_widths_are_refused(widths: str) -> None:
    with pytest.raises(ArgumentError, match="at least two positive integers"):
        build(f"mlp:{widths}", in_channels=1, image_size=28)
