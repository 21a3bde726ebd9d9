"""Operators that work in the order in which memory has the axes: what is copied, what is not."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lowering import Body, nodes_of
from native_operators import check_native

from openwork.engine import CompiledModel

RAMP = torch.arange(1.0, 5)


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def _first(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)


def _ramp(x: torch.Tensor, *shape: int) -> torch.Tensor:
    return torch.linspace(-1, 2, math.prod(shape)).view(shape).to(x.dtype)


def _halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    one, other = _last(x).split(2, 3)
    return one, other


# What is computed on channels last -> the nodes that it becomes, none of which is a copy.
FREE: dict[str, tuple[Body, list[str]]] = {
    "activation": (lambda x: _first(_last(x).relu()), ["Add"]),
    "function": (lambda x: _first(F.gelu(_last(x))), ["PointFunction"]),
    "clamp": (lambda x: _first(_last(x).clamp(-0.5, 0.25)), ["PointFunction"]),
    "slopes": (lambda x: _first(F.leaky_relu(-_last(x), 0.1)), ["Affine", "PRelu"]),
    "power": (lambda x: _first(_last(x) ** 2), ["PointFunction"]),
    "softmax": (lambda x: _first(_last(x).softmax(3)), ["Softmax"]),
    "constants": (lambda x: _first(_last(x) * RAMP + RAMP / 2), ["Affine", "Affine"]),
    "a number": (lambda x: _first((3 - _last(x)) / 2), ["Affine", "Affine"]),
    "sums": (lambda x: _first(_last(x) + _last(x).relu()), ["Add", "Add"]),
    "products": (lambda x: _first(_last(x) * F.gelu(_last(x))), ["PointFunction", "Arithmetic"]),
    "linear": (lambda x: _first(F.linear(_last(x), _ramp(x, 5, 4))), ["Conv"]),
    "parts": (
        lambda x: _first(_halves(x)[0] * _halves(x)[1]),
        ["Slice", "Slice", "Arithmetic"],
    ),
    "joined": (
        lambda x: _first(torch.cat([_last(x), F.gelu(_last(x))], -1)),
        ["PointFunction", "Concat"],
    ),
    "joined rows": (lambda x: _first(torch.cat([_last(x.relu())] * 2, 1)), []),
    "means": (lambda x: _last(x).mean((1, 2)).relu(), ["Mean", "Add"]),
    "transposed": (lambda x: x.transpose(2, 3).relu().transpose(2, 3), ["Add"]),
    "one channel": (lambda x: _first(F.linear(_last(x), _ramp(x, 1, 4))), ["Conv"]),
    "a gate": (
        lambda x: _first(_last(x) * _last(x).mean((1, 2), keepdim=True)),
        ["Mean", "Spread"],
    ),
}


@pytest.mark.parametrize("name", FREE)
def test_what_is_computed_in_memorys_order(
    name: str, build: Callable[..., CompiledModel], tmp_path: Path
) -> None:
    body, kinds = FREE[name]
    if kinds:
        assert [type(node).__name__ for node in nodes_of(body)] == kinds
    check_native(body, build, tmp_path)


# Each needs a copy.
COPIED: dict[str, Body] = {
    "returned turned": lambda x: F.gelu(_last(x)),
    "two orders": lambda x: x.transpose(1, 2).relu() + x.reshape(-1, 6, 4, 8),
    "a view of what was turned": lambda x: _last(x).sigmoid().reshape(-1, 4, 6, 8),
    "linear along rows": lambda x: F.linear(x, _ramp(x, 3, 8)),
    "linear of five axes": lambda x: F.linear(x.view(-1, 2, 2, 6, 8), _ramp(x, 3, 8)),
    "linear of one pixel": lambda x: F.linear(_last(x.mean((2, 3), keepdim=True)), _ramp(x, 6, 4)),
    "a constant for each column": lambda x: x * torch.arange(8.0),
    "a constant for each row": lambda x: x + torch.arange(6.0).view(6, 1),
    "joined columns": lambda x: torch.cat([x, x * 2], 3),
    "joined in two orders": lambda x: torch.cat([_last(x), x.reshape(-1, 6, 8, 4)], 3),
    "stretched and turned": lambda x: _last(x[:, :1].expand(-1, 4, -1, -1)).relu(),
    "backwards": lambda x: x.flip(2).transpose(1, 2).sigmoid(),
    "part of a part": lambda x: F.gelu(_last(x)[:, 1:4, :, 1:3])[:, :, 2:6].relu(),
    "softmax of rows": lambda x: _last(x).softmax(1),
}


@pytest.mark.parametrize("name", COPIED)
def test_what_needs_copies(name: str, build: Callable[..., CompiledModel], tmp_path: Path) -> None:
    check_native(COPIED[name], build, tmp_path)


def test_what_goes_backwards_is_copied_once() -> None:
    kinds = [type(n).__name__ for n in nodes_of(lambda x: x.flip(2).transpose(1, 2).sigmoid())]
    assert kinds == ["Rearrange", "Add"]


def test_what_several_read_is_cut_once() -> None:
    def body(x: torch.Tensor) -> torch.Tensor:
        part = _last(x)[..., 1:3]
        return _first(part.sigmoid() * F.gelu(part))

    kinds = [type(node).__name__ for node in nodes_of(body)]
    assert kinds == ["Slice", "Add", "PointFunction", "Arithmetic"]
