"""Which values share memory, and that the numbers stay."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.engine import CompiledModel
from openwork.runtime.aliasing import Aliasing
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add, Concat, Slice
from openwork.runtime.values import Value, View

A, B, C, D = (
    Value((channels, 2, 2), name) for channels, name in zip((1, 2, 1, 2), "abcd", strict=True)
)


def _add(inputs: list[Value], output: Value) -> Add:
    return Add(inputs, output)


def _cat(parts: list[Value], name: str) -> Concat:
    channels = [part.shape[0] for part in parts]
    return Concat(list(parts), Value((sum(channels), 2, 2), name), list(parts), channels)


def test_parts_lie_in_their_concatenation() -> None:
    x = Value((1, 2, 2), "x")
    joined = _cat([A, B], "joined")
    outer = _cat([C, joined.output], "outer")
    nodes = [_add([x], A), _add([x], B), joined, _add([x], C), outer]
    aliasing = Aliasing(nodes, {x, outer.output})
    assert aliasing.view(A) == View(outer.output, 4)
    assert aliasing.view(B) == View(outer.output, 8)
    assert aliasing.view(C) == View(outer.output, 0)


def test_what_cannot_move_stays() -> None:
    x = Value((1, 2, 2), "x")
    twice = _cat([A, A], "twice")
    with_input = _cat([x, B], "with input")
    again = _cat([B, C], "again")
    nodes = [_add([x], A), _add([x], B), _add([x], C), twice, with_input, again]
    aliasing = Aliasing(nodes, {x, C})
    for value, home in ((A, A), (x, x), (C, C), (B, with_input.output)):
        assert aliasing.view(value).whole is home


def test_a_growing_concatenation_is_one_block() -> None:
    x = Value((1, 2, 2), "x")
    first = _cat([A, B], "first")
    second = _cat([A, B, C], "second")
    third = _cat([A, B, C, D], "third")
    nodes: list[Node] = [_add([x], v) for v in (A, B)]
    nodes += [first, _add([first.output], C), second, _add([second.output], D), third]
    aliasing = Aliasing(nodes, {x})
    assert [aliasing.view(v) for v in (A, B, C, D)] == [
        View(third.output, at) for at in (0, 4, 12, 16)
    ]
    assert aliasing.view(first.output) == aliasing.view(second.output) == View(third.output, 0)


def test_zeros_of_other_channels_are_other_parts() -> None:
    x = Value((1, 2, 2), "x")
    narrow, wide = (
        Concat([A], Value((channels, 2, 2), "padded"), [None, A, None][:parts], [*zeros][:parts])
        for channels, parts, zeros in ((2, 2, (1, 1)), (4, 3, (2, 1, 1)))
    )
    aliasing = Aliasing([_add([x], A), narrow, wide], {x})
    assert aliasing.view(narrow.output) == View(narrow.output, 0)


def test_slices_lie_where_they_are_cut_from() -> None:
    x = Value((3, 2, 2), "x")
    piece = Slice([x], Value((1, 2, 2), "piece"), 2)
    assert Aliasing([piece], {x}).view(piece.output) == View(x, 8)


def test_a_sum_overwrites_what_nothing_reads_again() -> None:
    x, y, z = (Value((2, 2, 2), name) for name in "xyz")
    end = Value((2, 2, 2), "end")
    nodes = [_add([x], y), _add([y], z), _add([x, z], end)]
    aliasing = Aliasing(nodes, {x, end})
    assert aliasing.view(z) == View(y, 0)
    assert aliasing.view(end).whole is end
    read_later = [_add([x], y), _add([y], z), _add([y, z], end)]
    assert Aliasing(read_later, {x}).view(z).whole is z


def test_nothing_is_written_over_a_concatenation() -> None:
    x, gates = Value((1, 2, 2), "x"), Value((3, 2, 2), "gates")
    joined = _cat([A, B], "joined")
    sigmoid = Add([joined.output], gates, activation="sigmoid")
    later = _add([A], C)
    nodes = [_add([x], A), _add([x], B), joined, sigmoid, later]
    aliasing = Aliasing(nodes, {x, C})
    # `later` reads A, which lies in `joined`.
    assert aliasing.view(A) == View(joined.output, 0)
    assert aliasing.view(gates) == View(gates, 0)


class Dense(nn.Module):
    """A block whose maps grow, with sums, slices and both ends returned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 1)
        self.third, self.fourth = nn.Conv2d(11, 6, 3, padding=1), nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a = self.first(x)
        b = self.second(torch.cat([x, a], 1))
        c = self.third(torch.cat([x, a, b], 1))
        low, high = (self.fourth(c) + c).relu().chunk(2, 1)
        wide = torch.cat([F.max_pool2d(low, 3, 1, 1), self.second(torch.cat([x, a], 1)), high], 1)
        return wide, F.avg_pool2d(wide[:, 2:5] * 2 + 1, 2), torch.cat([wide, low], 1).mean((2, 3))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kernels", ["*-winograd4-*", "*-spmm-*", "*-direct-*", "torch"])
def test_the_numbers_stay(batch: int, kernels: str, build: Callable[..., CompiledModel]) -> None:
    wanted = kernels if kernels == "torch" else (kernels, "*-taps-*")
    model = Dense()
    compiled = build(model, torch.randn(batch, 3, 9, 7), wanted)
    for size in (1, 2, 5):
        x = torch.randn(size, 3, 9, 7)
        with torch.no_grad():
            expected = model.eval()(x)
        torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-4)


def test_concatenations_cost_no_step(build: Callable[..., CompiledModel]) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.one(x), self.two(x)], 1)

    times = build(Branches(), torch.randn(1, 3, 8, 8)).step_times(torch.randn(1, 3, 8, 8))
    assert times[-1] == ("cat", "concat", 0.0)
