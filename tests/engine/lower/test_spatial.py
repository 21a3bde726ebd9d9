"""Operators that move or gather numbers, beside what torch computes."""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lowering import Body, Do, nodes_of

from openwork.engine import CompiledModel
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Concat, Mean, Pool, Slice

POOLS = [
    (kind, {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil})
    for kind, (kernel, padding), stride, ceil in itertools.product(
        ("max", "average", "inside"),
        [(2, 0), (3, 1), ((3, 2), (1, 0)), ((1, 5), (0, 2)), (4, 2)],
        (None, 1, 2, 3, (2, 1)),
        (False, True),
    )
]
# Below, at and above one vector of 16 floats; odd; the smallest that every window fits.
MAPS = [(4, 5), (5, 16), (7, 17), (6, 33), (5, 67)]


def _pools(stage: slice) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = []
        for kind, options in POOLS[stage]:
            if kind == "max":
                results.append(F.max_pool2d(x, **options))
            else:
                results.append(F.avg_pool2d(x, **options, count_include_pad=kind == "average"))
        return tuple(results)

    return body


@pytest.mark.parametrize("size", MAPS, ids=str)
def test_pools(size: tuple[int, int], build: Callable[..., CompiledModel]) -> None:
    for start in range(0, len(POOLS), 50):
        compiled = build(Do(_pools(slice(start, start + 50)), 2), torch.randn(2, 2, *size))
        assert compiled.layers.notes == ()
        assert compiled.difference < 1e-5


def test_a_pool_over_a_map_wider_than_its_line(build: Callable[..., CompiledModel]) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, (1, 4), 1), F.max_pool2d(x, (1, 9), 4)

    compiled = build(Do(body, 1), torch.randn(1, 1, 3, 9001), "torch")
    assert compiled.layers.notes == ()


def test_the_smallest_maps(build: Callable[..., CompiledModel]) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 1, 1), x.mean((2, 3)), x.flatten(1)

    compiled = build(Do(body), torch.randn(2, 4, 1, 1))
    assert compiled.layers.notes == ()


BODIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "global mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((-1, -2)),
    "mean of rows": lambda x: x.mean(3),
    "mean of features": lambda x: x.flatten(2).mean(-1),
    "mean kept": lambda x: x.mean([2, 3], keepdim=True),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive to unequal windows": lambda x: F.adaptive_avg_pool2d(x, (4, 11)),
    "adaptive to itself": lambda x: F.adaptive_avg_pool2d(x, (x.shape[2], x.shape[3])),
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.shape[0], 2, 2, 6, 8).reshape(x.shape[0], -1, 8),
    "squeeze": lambda x: x.mean((2, 3), keepdim=True).squeeze(3).squeeze(2).unsqueeze(1),
    "cat": lambda x: torch.cat([x, x.relu(), x], 1),
    "cat from the end": lambda x: torch.cat([x, 2 * x], -3),
    "cat of features": lambda x: torch.cat([x.flatten(1), x.mean((2, 3))], 1),
    "cat of views": lambda x: torch.cat([x.view(-1, 8, 3, 8), x.view(-1, 8, 3, 8)], 1),
    "pad channels": lambda x: F.pad(x, (0, 0, 0, 0, 2, 3)),
    "pad channels behind": lambda x: F.pad(x, (0, 0, 0, 0, 0, 3)),
    "pad channels twice": lambda x: torch.cat(
        [F.max_pool2d(F.pad(x, (0, 0, 0, 0, *zeros)), 2) for zeros in ((1, 0), (2, 1))], 1
    ),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "split": lambda x: torch.cat([x.split([1, 3], 1)[1], x.split(3, 1)[0]], 1),
    "slice": lambda x: x[:, 1:3] + x[:, -2:],
    "dropout": lambda x: F.dropout(x, training=False),
    "dropout of maps": lambda x: F.dropout2d(x, training=False),
    "clone": lambda x: x.clone().contiguous(),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(BODIES[name]), torch.randn(2, 4, 6, 8))
    assert compiled.layers.notes == ()
    assert compiled.difference < 1e-6


# Each a fallback between two native layers, some of a view.
FALLBACKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tuple": lambda x: torch.cat([p + 1 for p in x.topk(2, 3)[:1]], 3) + x[..., :2],
    "item of many": lambda x: x.flatten(1).topk(3).values,
    "divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "dilated pool": lambda x: F.max_pool2d(x, 2, dilation=2),
    "mean of all": lambda x: x.mean((1, 2, 3)),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallbacks(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(FALLBACKS[name]), torch.randn(2, 4, 6, 8))
    assert compiled.difference < 1e-6
    assert all(note.startswith("left to torch, ") for note in compiled.layers.notes)
    assert compiled.layers.notes


@pytest.mark.parametrize(
    ("body", "sizes", "average", "counted"),
    [
        (lambda x: F.max_pool2d(x, 2), ((2, 2), (2, 2), (0, 0)), False, False),
        (lambda x: F.max_pool2d(x, (3, 2), 1, (1, 0)), ((3, 2), (1, 1), (1, 0)), False, False),
        (lambda x: F.avg_pool2d(x, 3, (2, 1), 1), ((3, 3), (2, 1), (1, 1)), True, True),
        (
            lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            ((3, 3), (2, 2), (1, 1)),
            True,
            False,
        ),
        (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), ((2, 4), (2, 4), (0, 0)), True, True),
    ],
)
def test_a_pool_keeps_its_sizes(
    body: Body, sizes: tuple[tuple[int, int], ...], average: bool, counted: bool
) -> None:
    (pool,) = nodes_of(body)
    assert isinstance(pool, Pool)
    assert (pool.kernel, pool.stride, pool.padding) == sizes
    assert pool.average is average
    assert pool.count_padding is counted or not average


@pytest.mark.parametrize(
    ("body", "first", "channels"),
    [
        (lambda x: x[:, 1:3], 1, 2),
        (lambda x: x[:, -3:], 1, 3),
        (lambda x: x[:, :1], 0, 1),
        (lambda x: x.chunk(2, 1)[1], 2, 2),
        (lambda x: x.split([1, 2, 1], 1)[2], 3, 1),
        (lambda x: x.split(3, -3)[1], 3, 1),
    ],
)
def test_neighbouring_channels_are_a_slice(body: Body, first: int, channels: int) -> None:
    (node,) = nodes_of(body)
    assert isinstance(node, Slice)
    assert (node.first, node.output.shape) == (first, (channels, 6, 8))


@pytest.mark.parametrize(
    ("widths", "channels"),
    [((2, 3), [2, 4, 3]), ((0, 3), [4, 3]), ((1, 0), [1, 4])],
)
def test_padded_channels_are_parts_without_a_value(
    widths: tuple[int, int], channels: list[int]
) -> None:
    (node,) = nodes_of(lambda x: F.pad(x, (0, 0, 0, 0, *widths)))
    assert isinstance(node, Concat)
    assert node.channels == channels
    assert [part is not None for part in node.parts] == [count == 4 for count in channels]


def test_only_the_mean_over_a_whole_map_is_a_mean() -> None:
    for body in (lambda x: x.mean((3, -2)), lambda x: F.adaptive_avg_pool2d(x, 1)):
        (node,) = nodes_of(body)
        assert isinstance(node, Mean)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x.flatten(1),
        lambda x: x.clone(),
        lambda x: F.dropout(x, training=False),
        lambda x: F.adaptive_avg_pool2d(x, (6, 8)),
        lambda x: x[:, :4],
        lambda x: x.chunk(1, 1)[0],
    ],
)
def test_what_moves_nothing_is_not_a_node(body: Body) -> None:
    relu = nodes_of(lambda x: body(x).relu())
    assert [type(node).__name__ for node in relu] == ["Add"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: F.max_pool2d(x, 2, dilation=2), "dilated"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "with a divisor"),
        (lambda x: F.dropout(x, training=True), "in training mode"),
        (lambda x: x.relu().to(torch.float32, copy=True), "as a copy"),
        (lambda x: torch.cat([x, x], 0)[:1], "no batch axis in front"),
        (lambda x: x.topk(2, 1)[0], "an item of results that torch computes"),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    last = nodes_of(body)[-1]
    assert isinstance(last, Fallback)
    assert last.reason.endswith(reason)
