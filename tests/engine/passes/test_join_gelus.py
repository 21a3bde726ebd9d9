"""GELUs that are written out become one step, and what looks like one stays as it is."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lowering import Body, Do
from native_operators import check_native

from openwork.capture import capture
from openwork.engine import CompiledModel
from openwork.engine.lower.lower import lower
from openwork.engine.passes.fuse import fuse
from openwork.engine.passes.join_gelus import join_gelus
from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.nodes import PointFunction

ROOT = math.sqrt(2)


def _kinds(body: Body) -> list[str]:
    graph, _ = lower(capture(Do(body), (torch.zeros(2, 4, 6, 8),)))
    remove_unread(graph)
    fuse(graph)
    join_gelus(graph)
    names = [n.function if isinstance(n, PointFunction) else type(n).__name__ for n in graph.nodes]
    return names[1:]


GELUS: dict[str, Body] = {
    "half behind": lambda x: x * ((x / ROOT).erf() + 1) * 0.5,
    "half first": lambda x: x * 0.5 * (1 + (x * ROOT / 2).erf()),
    "half with the sum": lambda x: ((x / ROOT).erf() * 0.5 + 0.5) * x,
    "parts of it everywhere": lambda x: x * 2 * ((x / ROOT).erf() * 0.5 + 0.5) * 0.5,
    "channels last": lambda x: (
        x.permute(0, 2, 3, 1) * ((x.permute(0, 2, 3, 1) / ROOT).erf() + 1) * 0.5
    ).permute(0, 3, 1, 2),
}


@pytest.mark.parametrize("name", GELUS)
def test_a_gelu(name: str, build: Callable[..., CompiledModel], tmp_path: Path) -> None:
    assert _kinds(GELUS[name]) == ["gelu"]
    check_native(GELUS[name], build, tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * ((x / ROOT).erf() + 1),
        lambda x: x * ((x / 1.4).erf() + 1) * 0.5,
        lambda x: x * ((x / ROOT).erf() + 0.9) * 0.5,
        lambda x: x.relu() * ((x / ROOT).erf() + 1) * 0.5,
        lambda x: x / ((x / ROOT).erf() + 1) * 0.5,
        lambda x: x * ((x / ROOT + 0.1).erf() + 1) * 0.5,
        lambda x: x * ((x / ROOT).erf() + torch.linspace(0.5, 1, 4).view(4, 1, 1)) * 0.5,
        lambda x: ((x / ROOT).erf() + 1) ** 2 * 0.5,
        lambda x: (x / ROOT).erf(),
        lambda x: x * (e := (x / ROOT).erf() + 1) * 0.5 + e,
        lambda x: x * ((e := (x / ROOT).erf()) + 1) * 0.5 + e,
        lambda x: x * ((y := x / ROOT).erf() + 1) * 0.5 + y,
        lambda x: (y := x * ((x / ROOT).erf() + 1)) * 0.5 + y,
        lambda x: (y := x * 0.5) * ((x / ROOT).erf() + 1) + y,
    ],
)
def test_what_is_none_stays(body: Body, build: Callable[..., CompiledModel]) -> None:
    assert "gelu" not in _kinds(body)
    assert build(Do(body), torch.randn(2, 4, 6, 8)).difference < 1e-6


def test_what_is_returned_stays() -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        part = (x / ROOT).erf() + 1
        return x * part * 0.5, part

    assert "gelu" not in _kinds(body)  # type: ignore[arg-type]
