"""Operators that take each number alone, beside what torch computes."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lowering import Body, Do, nodes_of

from openwork.engine import CompiledModel
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Add, Affine, Arithmetic, Gate

ACTIVATIONS = [F.relu, F.relu6, F.silu, F.hardswish, torch.sigmoid, F.hardsigmoid]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kernels", ["torch", "*-taps-*", "*-spmm-*"])
def test_activations(
    activation: Callable[..., torch.Tensor], kernels: str, build: Callable[..., CompiledModel]
) -> None:
    model = Do(lambda x: activation(activation(x * 4) * 3 - 2))
    compiled = build(model, 3 * torch.randn(2, 4, 5, 7), kernels)
    assert compiled.difference < 1e-6


BODIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gate": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "gate first": lambda x: F.adaptive_avg_pool2d(x, 1).sigmoid() * x,
    "gate expanded": lambda x: x * x.mean((2, 3), keepdim=True).expand_as(x),
    "gate of one pixel": lambda x: F.adaptive_avg_pool2d(x, 1) * F.adaptive_avg_pool2d(x, 1),
    "gate of a single map": lambda x: x[:, :1] * x[:, :1].mean((2, 3), keepdim=True),
    "gate of each row": lambda x: x * x.mean(3, keepdim=True).sigmoid(),
    "gate of groups": lambda x: (
        x.view(-1, 2, 2, 6, 8) * x.mean((2, 3)).view(-1, 2, 2, 1, 1).sigmoid()
    ),
    "sum over channels": lambda x: x.sum(1, keepdim=True),
    "sum over rows": lambda x: x.sum(-2),
    "sum over columns": lambda x: x.sum(3, keepdim=True) * 2,
    "sum over groups": lambda x: x.view(-1, 2, 2, 6, 8).sum(2).relu(),
    "sum of maps": lambda x: x.sum((2, 3)),
    "sum of features": lambda x: x.flatten(1).sum(1, keepdim=True),
    "sum of many channels": lambda x: x.reshape(-1, 48, 4).sum(1),
    "sum of one": lambda x: x[:, 1:2].sum(1),
    "chosen parts": lambda x: (
        torch.stack([x, x.relu()], 1)
        * torch.stack([x, -x], 1).mean((3, 4), keepdim=True).softmax(1)
    ).sum(1),
    "numbers": lambda x: (x * 3 + 1) * 0.5 + 2,
    "differences": lambda x: 2 - (1 - (x - 3)) / 4,
    "standardised": lambda x: (x - torch.arange(4.0).view(4, 1, 1)) / torch.full((1, 4, 1, 1), 3.0),
    "difference from a constant": lambda x: torch.arange(4.0).view(4, 1, 1) - x,
    "numbers that numpy lacks": lambda x: x * torch.arange(4.0).bfloat16().view(4, 1, 1),
    "doubled": lambda x: x + x,
    "product of maps": lambda x: x * x.sigmoid(),
    "difference of maps": lambda x: x - x.relu(),
    "reversed difference of maps": lambda x: torch.rsub(x, x.relu()),
    "quotient of maps": lambda x: x / (x.sigmoid() + 1),
    "sum of other shapes": lambda x: x + x.mean((2, 3), keepdim=True),
    "sum of a smaller one": lambda x: x.mean((2, 3), keepdim=True) + x,
    "difference of other shapes": lambda x: x - x.mean((2, 3), keepdim=True),
    "difference from maps": lambda x: x.mean((2, 3), keepdim=True) - x,
    "quotient by a number": lambda x: x / (x.mean((1, 2, 3), keepdim=True).sigmoid() + 1),
    "quotient by a row of each": lambda x: x / (x.mean(2, keepdim=True).sigmoid() + 1),
    "number over maps": lambda x: x.mean((1, 2, 3), keepdim=True) / (x.sigmoid() + 1),
    "product of broadcast maps": lambda x: x * x.mean(1, keepdim=True),
    "product of one row": lambda x: x * x.mean(1, keepdim=True).mean(3, keepdim=True),
    "product of both sides": lambda x: x.mean(2, keepdim=True) * x.mean(3, keepdim=True),
    "added product": lambda x: torch.addcmul(RAMP, RAMP * 2, x, value=0.5),
    "added product of a number": lambda x: torch.addcmul(torch.ones(1), x, RAMP),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(BODIES[name]), torch.randn(2, 4, 6, 8))
    assert compiled.layers.notes == ()
    assert compiled.difference < 1e-6


# Each a fallback between two native layers, some of a view.
FALLBACKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "scaled difference": lambda x: torch.sub(x, 1.0, alpha=2),
    "division by zero": lambda x: torch.nan_to_num(x / 0.0),
    "division by maps": lambda x: torch.ones(4, 1, 1) / (x.abs() + 1),
    "product of gates": lambda x: (
        F.adaptive_avg_pool2d(x, 1).expand_as(x) * x.amax((2, 3), keepdim=True).expand_as(x)
    ),
    "product of gates, one stretched": lambda x: (
        F.adaptive_avg_pool2d(x, 1).expand(-1, -1, 6, 8) * x.amax((2, 3), keepdim=True)
    ),
    "complex": lambda x: (x * 1j).imag,
    "scaled sum": lambda x: torch.add(x, x.relu(), alpha=2),
    "sum with axes apart": lambda x: x + x.mean((1, 3), keepdim=True),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallbacks(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(FALLBACKS[name]), torch.randn(2, 4, 6, 8))
    assert compiled.difference < 1e-6
    assert all(note.startswith("left to torch, ") for note in compiled.layers.notes)
    assert compiled.layers.notes


def _affine(body: Body) -> tuple[list[float], list[float]]:
    """(scale, shift) of the only node that `body` becomes."""
    (node,) = nodes_of(body)
    assert isinstance(node, Affine)
    return node.scale.tolist(), node.shift.tolist()


RAMP = torch.arange(1.0, 5).view(4, 1, 1)


@pytest.mark.parametrize(
    ("body", "scale", "shift"),
    [
        (lambda x: x + 3, [1] * 4, [3] * 4),
        (lambda x: 3 + x, [1] * 4, [3] * 4),
        (lambda x: x - 3, [1] * 4, [-3] * 4),
        (lambda x: 3 - x, [-1] * 4, [3] * 4),
        (lambda x: x * 0.5, [0.5] * 4, [0] * 4),
        (lambda x: x / 4, [0.25] * 4, [0] * 4),
        (lambda x: x + RAMP, [1] * 4, [1, 2, 3, 4]),
        (lambda x: x - RAMP, [1] * 4, [-1, -2, -3, -4]),
        (lambda x: RAMP - x, [-1] * 4, [1, 2, 3, 4]),
        (lambda x: RAMP * x, [1, 2, 3, 4], [0] * 4),
        (lambda x: x / RAMP, [1, 1 / 2, 1 / 3, 1 / 4], [0] * 4),
    ],
)
def test_a_constant_is_a_factor_and_a_term(
    body: Body, scale: list[float], shift: list[float]
) -> None:
    assert _affine(body) == (scale, shift)


def test_a_gate_reads_the_maps_first() -> None:
    for body in (
        lambda x: x * x.mean((2, 3), keepdim=True),
        lambda x: x.mean((2, 3), keepdim=True) * x,
    ):
        mean, gate = nodes_of(body)
        assert isinstance(gate, Gate)
        assert gate.inputs == [mean.inputs[0], mean.output]


def test_an_activation_is_a_sum_of_one() -> None:
    nodes = nodes_of(lambda x: F.hardtanh(F.silu(x).relu_(), 0.0, 6.0))
    assert [(type(node), len(node.inputs)) for node in nodes] == [(Add, 1)] * 3
    assert [node.activation for node in nodes if isinstance(node, Add)] == ["silu", "relu", "relu6"]


@pytest.mark.parametrize(
    ("body", "operation", "turned"),
    [
        (lambda x: x * x.relu(), "product", False),
        (lambda x: x - x.relu(), "difference", False),
        (lambda x: torch.rsub(x, x.relu()), "difference", True),
        (lambda x: x / x.relu(), "quotient", False),
    ],
)
def test_two_values_are_combined(body: Body, operation: str, turned: bool) -> None:
    relu, combined = nodes_of(body)
    assert isinstance(combined, Arithmetic)
    assert combined.operation == operation
    values = [relu.inputs[0], relu.output]
    assert combined.inputs == (values[::-1] if turned else values)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: torch.add(x, x, alpha=2), "with a factor"),
        (lambda x: torch.sub(x, 1.0, alpha=2), "with a factor"),
        (lambda x: x.sum((1, 3)), "over axes that are apart"),
        (lambda x: x.sum(0, keepdim=True).expand_as(x), "no batch axis in front"),
        (lambda x: x.sum((0, 1), keepdim=True).expand_as(x), "no batch axis in front"),
        (lambda x: torch.addcmul(x, x, RAMP), "added to what is not constant"),
        (lambda x: torch.addcmul(RAMP, x, x), "of two tensors"),
        (lambda x: torch.addcmul(RAMP, x, torch.ones(8)), "along other axes"),
        (lambda x: RAMP / x, "of a constant"),
        (lambda x: x / 1e-39, "by zero, or nearly"),
        (lambda x: x + torch.ones(6, 8), "than one number for each channel"),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    last = nodes_of(body)[-1]
    assert isinstance(last, Fallback)
    assert last.reason.endswith(reason)
