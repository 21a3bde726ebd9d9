"""Functions of each number alone, and softmax, beside what torch computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lowering import Body, nodes_of
from native_operators import check_native
from torch import nn

from openwork.engine import CompiledModel
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Add, PointFunction, PRelu

Build = Callable[..., CompiledModel]


class Alone(nn.Module):
    """A function as a module."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._body(x)


BODIES: dict[str, Body] = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "leaky_relu in place": lambda x: F.leaky_relu_(x * 1.0, 0.1),
    "one slope": nn.PReLU(init=-0.3),
    "slopes": nn.PReLU(4),
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "elu": lambda x: F.elu(x, 1.3),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 2.0),
    "mish": F.mish,
    "softplus": lambda x: F.softplus(x, 2.0, 5.0),
    "log_sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "sqrt": lambda x: (x * x + 1).sqrt(),
    "abs": torch.abs,
    "cube": lambda x: x**3,
    "erf": torch.erf,
    "neg": torch.neg,
    "square": lambda x: x**2,
    "square root": lambda x: (x.abs() + 1) ** 0.5,
    "reciprocal": lambda x: 1 / (x**2 + 1),
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "clamp": lambda x: x.clamp(-0.3, 0.4),
    "clamp below": lambda x: x.clamp(min=0.1),
    "clamp above": lambda x: x.clamp(max=0.1),
    "clamp_min": lambda x: x.clamp_min(-0.1),
    "clamp_max": lambda x: x.clamp_max(0.2),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "softmax of channels": lambda x: x.softmax(1),
    "softmax of rows": lambda x: x.softmax(2),
    "softmax of the last axis": lambda x: x.softmax(-1),
    "softmax of features": lambda x: x.flatten(1).softmax(1),
    "log_softmax": lambda x: x.flatten(1).log_softmax(-1),
    "log_softmax of channels": lambda x: F.log_softmax(x, 1),
}


@pytest.mark.parametrize("name", BODIES)
def test_functions(name: str, build: Build, tmp_path: Path) -> None:
    check_native(BODIES[name], build, tmp_path)


@pytest.mark.parametrize("name", BODIES)
def test_nan_and_infinity_are_torchs(name: str, build: Build) -> None:
    """Where they go, and whether they do."""
    x = torch.zeros(7, 4, 6, 8)
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 90.0, -90.0, 1e30])
    if name == "gelu":
        # torch gives NaN there on some processors; its tanh form gives infinity, as the limit is.
        special[1] = 2e30
    # In whole vectors and in what is left over.
    x[torch.arange(7), torch.arange(7) % 4, torch.arange(7) % 6] = special[:, None]
    model = nn.Sequential(Alone(BODIES[name])).eval()
    compiled = build(model, torch.randn(2, 4, 6, 8))
    assert compiled.layers.notes == ()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("body", "function", "numbers"),
    [
        (lambda x: F.hardtanh(x, 0.0, 5.0), "clamp", (0, 5)),
        (lambda x: x.clamp(min=1), "clamp", (1, float("inf"))),
        (lambda x: F.elu(x, 0.5), "elu", (0.5, 1, 1)),
        (lambda x: F.celu(x, 2.0), "elu", (2, 1, 0.5)),
        (lambda x: F.softplus(x, 2, 7), "softplus", (2, 7)),
        (lambda x: x**-1, "reciprocal", ()),
    ],
)
def test_a_function_keeps_its_parameters(
    body: Body, function: str, numbers: tuple[float, ...]
) -> None:
    (node,) = nodes_of(body)
    assert isinstance(node, PointFunction)
    assert (node.function, node.numbers) == (function, numbers)


def test_each_channel_keeps_its_slope() -> None:
    layer = nn.PReLU(4)
    nn.init.uniform_(layer.weight)
    for body, slopes in (
        (layer, layer.weight.tolist()),
        (lambda x: F.leaky_relu(x, 0.5), [0.5] * 4),
    ):
        (node,) = nodes_of(body)
        assert isinstance(node, PRelu)
        assert node.slope.tolist() == slopes


@pytest.mark.parametrize(
    ("body", "activation"),
    [
        (lambda x: x.clamp(0, 6), "relu6"),
        (lambda x: x.clamp(min=0), "relu"),
        (lambda x: x.clamp_min(0), "relu"),
        (lambda x: F.hardtanh(x, 0, 6), "relu6"),
    ],
)
def test_bounds_that_are_activations_can_be_fused(body: Body, activation: str) -> None:
    (node,) = nodes_of(body)
    assert isinstance(node, Add)
    assert node.activation == activation


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: x**4, "with the exponent 4"),
        (lambda x: x.softmax(0), "along the batch"),
        (lambda x: F.hardshrink(x), "not an operator that the engine has"),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    last = nodes_of(body)[-1]
    assert isinstance(last, Fallback)
    assert last.reason.endswith(reason)
