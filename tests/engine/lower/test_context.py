"""What the handlers of exported operators share: values, constants, names, and refusals."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lowering import Body, Do
from torch import nn
from torch.fx import Node as FxNode

from openwork.capture import Captured, capture
from openwork.capture.operators import NotUnderstood
from openwork.engine import CompiledModel
from openwork.engine.lower.context import Lowering, array, map_size, pair
from openwork.engine.lower.lower import lower
from openwork.runtime.values import Value


def _captured(model: nn.Module) -> Captured:
    return capture(model.eval(), (torch.zeros(2, 4, 6, 8),))


def _lowered(model: nn.Module) -> tuple[Lowering, list[FxNode]]:
    """What is known in the end, and the calls of the exported graph."""
    captured = _captured(model)
    _, known = lower(captured)
    return known, [fx for fx in captured.program.graph.nodes if fx.op == "call_function"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: x.double(), "not a batch of float32 numbers"),
        (lambda x: x.sum((1, 2, 3)), "not a batch of float32 numbers"),
        (lambda x: x.view(4, -1), "a shape that depends on the input"),
        (lambda x: x.flip(0).view(-1, 8), "no batch axis in front"),
        (lambda x: x[:, :0], "an empty tensor"),
    ],
)
def test_what_the_engine_does_not_hold_is_refused(body: Body, reason: str) -> None:
    known, calls = _lowered(Do(body))
    with pytest.raises(NotUnderstood, match=f"^{reason}$"):
        known.output(calls[-1])
    with pytest.raises(NotUnderstood, match=f"^{reason}$"):
        known.input(calls[-1])


def test_a_value_has_the_shape_of_one_image() -> None:
    known, calls = _lowered(Do(lambda x: x.relu().flatten(2)))
    assert [known.output(fx).shape for fx in calls] == [(4, 6, 8), (4, 6, 8), (4, 48)]
    assert known.output(calls[1]).name == calls[1].name
    assert known.input(calls[1]) is known.values[calls[1]]
    unknown, (fx, *_) = _lowered(Do(lambda x: x.permute(1, 0, 2, 3)))
    assert unknown.value(fx.next).shape == (-1, 6, 8)


def test_only_activations_are_inputs() -> None:
    known, (conv, *_) = _lowered(Do(torch.relu))
    _, weight, bias = conv.args
    for argument in (weight, bias, 3, None):
        with pytest.raises(NotUnderstood, match="is not an activation"):
            known.input(argument)


def test_a_constant_is_a_copy() -> None:
    model = Do(torch.relu)
    known, (conv, *_) = _lowered(model)
    image, weight, _ = conv.args
    assert isinstance(image, FxNode)
    assert isinstance(weight, FxNode)
    before = model.before.weight.detach().clone()
    held, operand = known.constant(weight), known.operand(weight)
    nn.init.zeros_(model.before.weight)
    assert held is not None
    np.testing.assert_array_equal(held, before.numpy())
    assert torch.equal(operand, before)
    assert known.operand(image) is known.values[image]
    assert known.constant(None) is None
    with pytest.raises(NotUnderstood, match="a weight that is computed from the input"):
        known.constant(image)


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        (torch.tensor([1.5, -2.0]), "float32"),
        (torch.tensor([1.5, -2.0]).half(), "float16"),
        (torch.tensor([1.5, -2.0]).double(), "float64"),
        (torch.tensor([1.5, -2.0]).bfloat16(), "float32"),
        (nn.Parameter(torch.tensor([1.5, -2.0])), "float32"),
        (torch.tensor([1, -2]), "int64"),
        (2.5, "float64"),
        (3, "int64"),
    ],
    ids=str,
)
def test_an_array_keeps_the_numbers(held: torch.Tensor | float, kind: str) -> None:
    found = array(held)
    assert found.dtype == kind
    assert found.tolist() == (held.tolist() if isinstance(held, torch.Tensor) else held)
    before = found.tolist()
    found += 1
    assert array(held).tolist() == before


def test_complex_numbers_are_refused() -> None:
    for held in (1j, torch.tensor([1j])):
        with pytest.raises(NotUnderstood, match="complex numbers"):
            array(held)


def test_one_number_stands_for_both_axes() -> None:
    assert [pair(value) for value in (3, [3], (3, 5), [4, 2])] == [(3, 3), (3, 3), (3, 5), (4, 2)]


def test_only_maps_have_a_size() -> None:
    assert map_size(Value((3, 5, 7), "x")) == (5, 7)
    for shape in ((3,), (3, 5), (3, 5, 7, 9)):
        with pytest.raises(NotUnderstood, match="not a batch of feature maps"):
            map_size(Value(shape, "x"))


class Standardised(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.conv2d(input, self.weight / self.weight.std(), self.bias)


def test_layers_with_computed_weights_keep_their_names(
    build: Callable[..., CompiledModel],
) -> None:
    norms = nn.utils.parametrizations
    inner = nn.Sequential(norms.spectral_norm(nn.Conv2d(4, 4, 1)), nn.ReLU(), Standardised(4, 2, 1))
    model = nn.Sequential(norms.weight_norm(nn.Conv2d(3, 4, 3)), nn.GELU(), inner)
    compiled = build(model, torch.randn(2, 3, 8, 8), "torch")
    assert compiled.layers.column("layer") == ["0", "2.0", "2.2"]
