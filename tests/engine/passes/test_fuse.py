"""Which steps join which, and that the numbers stay."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parts import known
from torch import nn

from openwork.capture import capture
from openwork.engine import CompiledModel
from openwork.engine.lower.lower import lower
from openwork.engine.passes.fuse import fuse
from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.graph import Graph


class Block(nn.Module):
    """Two convolutions with batch norms, and what the test makes of them."""

    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, bias=False)
        self.few = nn.Conv2d(4, 3, 1)
        self.norm, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        for norm in (self.norm, self.norm2):
            nn.init.normal_(known(norm.running_mean))
            nn.init.uniform_(known(norm.running_var), 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self._body = body

    def forward(self, x: torch.Tensor) -> Any:
        return self._body(self, x)


def _graph(model: nn.Module, example: torch.Tensor) -> Graph:
    graph, _ = lower(capture(model, (example,)))
    remove_unread(graph)
    fuse(graph)
    return graph


CASES = {
    "norm and activation": (lambda m, x: m.norm(m.one(x)).relu(), ["Conv"]),
    "two norms": (lambda m, x: m.norm2(m.norm(m.one(x))), ["Conv"]),
    "norms before": (lambda m, x: m.one(m.norm2(m.norm(x)).relu()), ["Affine", "Conv"]),
    "factor": (lambda m, x: 2.5 * m.one(x) + 1, ["Conv"]),
    "residual": (lambda m, x: (m.norm(m.one(x)) + x).relu(), ["Conv"]),
    "residual first": (lambda m, x: nn.functional.relu6(x + m.norm(m.one(x))), ["Conv"]),
    "two convolutions added": (lambda m, x: (m.one(x) + m.norm(m.two(x))).relu(), ["Conv"] * 2),
    "sum of activated": (lambda m, x: m.one(x).relu() + m.two(x).relu(), ["Conv", "Conv", "Add"]),
    "read twice": (lambda m, x: m.one(y := m.one(x)) + y, ["Conv", "Conv"]),
    "residual and more": (lambda m, x: torch.cat([(y := m.one(x)) + x, y], 1), ["Conv", "Add"]),
    "norm after a sum": (lambda m, x: m.norm(m.one(x) + x), ["Conv", "Affine"]),
    "doubled": (lambda m, x: (y := m.one(x)) + y, ["Conv", "Add"]),
    "activated twice": (lambda m, x: m.one(x).relu().sigmoid(), ["Conv", "Add"]),
    "average before": (
        lambda m, x: m.few(nn.functional.avg_pool2d(x, 3, 1, 1)).relu(),
        ["Conv", "Pool"],
    ),
    "average inside before": (
        lambda m, x: m.few(nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ["Conv", "Pool"],
    ),
    "average of fewer pixels before": (
        lambda m, x: m.few(nn.functional.avg_pool2d(x, 2)),
        ["Pool", "Conv"],
    ),
    "maximum before": (lambda m, x: m.few(nn.functional.max_pool2d(x, 3, 1, 1)), ["Pool", "Conv"]),
    "average before as many": (
        lambda m, x: m.two(nn.functional.avg_pool2d(x, 3, 1, 1)),
        ["Pool", "Conv"],
    ),
    "average read twice": (
        lambda m, x: m.few(y := nn.functional.avg_pool2d(x, 3, 1, 1)) + y[:, :3],
        ["Pool", "Slice", "Conv"],
    ),
    "the layer used twice": (lambda m, x: m.norm(m.one(m.norm(m.one(x)))), ["Conv"] * 2),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_join_and_the_numbers_stay(name: str, build: Callable[..., CompiledModel]) -> None:
    body, kinds = CASES[name]
    model = Block(body)
    example = torch.randn(2, 4, 6, 7)
    found = [type(node).__name__ for node in _graph(model, example).nodes]
    assert found[: len(kinds)] == kinds
    assert len(found) == len(kinds) + (name == "residual and more")
    for kernels in ("torch", "*-taps-*"):
        assert build(model, example, kernels).difference < 1e-5


def test_a_norm_whose_input_is_returned_stays() -> None:
    model = Block(lambda m, x: (y := m.one(x), m.norm(y)))
    graph = _graph(model, torch.randn(2, 4, 6, 7))
    assert [type(node).__name__ for node in graph.nodes] == ["Conv", "Affine"]


def test_nodes_stand_after_what_they_read() -> None:
    model = Block(lambda m, x: m.one(x) + m.two(m.norm(x).relu()) + m.two(x))
    graph = _graph(model, torch.randn(2, 4, 6, 7))
    made = set(graph.inputs)
    for node in graph.nodes:
        assert made.issuperset(node.inputs)
        made.add(node.output)
    assert made.issuperset(graph.outputs)
