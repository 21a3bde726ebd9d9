"""The rules that arguments obey: what holds, what does not, and how a refusal is worded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from openwork import _arguments as arguments
from openwork.errors import ArgumentError


class _Sealed(nn.ReLU):
    sealed = "is a stone"


def _linear(weight: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 1)
    layer.weight.data[1, 0] = weight
    return layer


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (lambda v: arguments.check_count("n", v), [1, 7], [0, True, 1.0, "1"]),
        (lambda v: arguments.check_count("n", v, 0), [0], [-1]),
        (arguments.check_seed, [0, 2**64 - 1], [-1, 2**64, 0.5]),
        (lambda v: arguments.check_flag("f", v), [True, False], [0, None]),
        (arguments.check_density, [1, 0.01], [0, 1.1, True, float("nan"), "0.5"]),
        (lambda v: arguments.check_choice("c", v, ("a", "b")), ["a"], ["c", ""]),
        (arguments.check_kernel, [3, (3, 1), ()], [0, (1, 2, 3), (1.0, 2), "33"]),
        (lambda v: arguments.check_groups(4, 6, v), [1, 2], [3, 0]),
        (
            lambda v: arguments.check_number("x", v, "above 0", lambda n: n > 0),
            [1, 0.5],
            [0, True, float("nan")],
        ),
        (lambda v: arguments.check_threshold("t", v), [0, 1e-3], [-1, float("inf"), None]),
        (arguments.check_tolerance, [0, float("inf")], [-1, float("nan"), True]),
        (arguments.check_model, [nn.ReLU()], [nn.ReLU, None, nn.LazyConv1d(2, 1)]),
        (
            lambda v: arguments.check_callable("f", v, "(model, share) -> error"),
            [max, print, lambda m, s: 0, lambda m, s=1: 0, lambda *a: 0, nn.ReLU().register_buffer],
            [None, 3, lambda: 0, lambda m: 0, lambda m, s, x: 0, lambda m, *, s: 0],
        ),
        (
            lambda v: arguments.check_callable("f", v, "() -> model"),
            [dict, lambda: 0, nn.ReLU],
            [nn.Linear, lambda m: 0],
        ),
        (arguments.check_open, [nn.ReLU()], [nn.ReLU, _Sealed()]),
        (
            arguments.check_finite_weights,
            [nn.ReLU(), nn.Linear(1, 1, device="meta"), _linear(1.0)],
            [_linear(float("nan")), _linear(float("-inf"))],
        ),
        (arguments.check_has_weights, [nn.ReLU()], [nn.Sequential(nn.LazyBatchNorm2d())]),
        (
            arguments.check_optimizer_kind,
            [torch.optim.SGD([torch.zeros(1)])],
            [torch.optim.SGD, None],
        ),
    ],
)
def test_each_rule(check: Callable[[Any], object], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ArgumentError, match=r"`.*must|`.*(is a|NaN or)"):
            check(value)


def test_values_come_back_in_one_form() -> None:
    assert arguments.check_kernel(3) == (3, 3)
    assert arguments.check_kernel([1, 2]) == (1, 2)
    assert isinstance(arguments.check_density(1), float)


def test_a_refusal_names_the_argument_its_value_and_the_way_out() -> None:
    with pytest.raises(ArgumentError, match=r"^`z`=5 must divide both .*; feasible: 1, 2$"):
        arguments.check_groups(4, 6, 5, "z")
    with pytest.raises(ArgumentError, match=r"multiple of the layer's own 2 groups; feasible: 2$"):
        arguments.check_groups(4, 6, 1, multiple_of=2)
    with pytest.raises(ArgumentError, match=r"`model` is the class Linear, but .* Linear"):
        arguments.check_model(torch.nn.Linear)
    with pytest.raises(ArgumentError, match=r"`model` is a str, 'x.onnx', .*openwork.load reads"):
        arguments.check_model("x.onnx")
