"""Operators that give numbers in another order, or with more around them, beside torch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from lowering import Body, Do, nodes_of
from native_operators import check_native

from openwork.engine import CompiledModel, compile
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Concat, Pad, Rearrange, Slice

Build = Callable[..., CompiledModel]
LOW = -float("inf")

BODIES: dict[str, Body] = {
    "He's shortcut": lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)),
    "every second channel": lambda x: x[:, ::2] * 1.0,
    "steps of three": lambda x: x[:, ::3, 1::3, 2:],
    "rows": lambda x: x[:, :, 1:-1],
    "an index": lambda x: x[:, 1],
    "an index of the last axis": lambda x: x[..., -1],
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "there and back": lambda x: x.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2),
    "transposed": lambda x: x.transpose(2, -1),
    "shuffled": lambda x: x.view(x.shape[0], 2, 2, 6, 8).transpose(1, 2).reshape(x.shape),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "flipped": lambda x: x.flip(1, 3),
    "expanded": lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 3, 5).relu(),
    "stacked": lambda x: torch.stack([x, x.relu(), x], 1).flatten(1, 2),
    "stacked from behind": lambda x: torch.stack([x, x.relu()], -4) * 2,
    "halves of rows": lambda x: torch.cat([p + 1 for p in x.chunk(2, 2)][::-1], 1),
    "split of columns": lambda x: x.split([3, 5], 3)[1] * 2,
    "unbound": lambda x: x.unbind(2)[-1],
    "padded": lambda x: F.pad(x, (1, 2, 0, 1)),
    "padded before a pool": lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=LOW), 2),
    "filled": lambda x: F.pad(x, (0, 0, 0, 0, 1, 1), value=2.0),
    "cut and padded": lambda x: F.pad(x, (1, -2, -1, 3, -1, 1), value=-1.0),
    "cut": lambda x: F.pad(x, (-1, -2)),
    "features padded": lambda x: F.pad(x.flatten(1), (2, 3), value=1.0),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicated": lambda x: F.pad(x, (0, 2, 3, 1), mode="replicate"),
    "around": lambda x: F.pad(x, (1, 2, 3, 0), mode="circular"),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators(name: str, build: Build, tmp_path: Path) -> None:
    check_native(BODIES[name], build, tmp_path)


# Around one and two vectors of each instruction set, and transposes of partial squares.
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 17), (16, 16), (7, 33), (18, 40)], ids=str)
def test_sizes_around_vectors(size: tuple[int, int], build: Build, tmp_path: Path) -> None:
    def body(x: torch.Tensor) -> torch.Tensor:
        last = x.permute(0, 2, 3, 1)
        parts = last, x.transpose(2, 3), x[:, :, ::2, ::2], F.pixel_shuffle(x, 3), x.flip(3)
        return torch.cat([part.flatten(1) for part in parts], 1)

    check_native(body, build, tmp_path, (3, 18, *size))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_slices_of_any_order(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    order = data.draw(st.permutations((1, 2, 3)))
    slices = [
        slice(data.draw(st.integers(0, shape[axis - 1] - 1)), None, data.draw(st.integers(1, 3)))
        for axis in order
    ]
    widths = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))

    def body(x: torch.Tensor) -> torch.Tensor:
        return F.pad(x.permute(0, *order)[(slice(None), *slices)], widths, value=0.5)

    model = Do(body, shape[0]).eval()
    compiled = compile(model, torch.randn(2, *shape), kernels={"*": "*-taps-*"})
    assert compiled.layers.notes == ()
    assert compiled.difference < 1e-6


def test_threads_give_the_same(build: Build) -> None:
    def body(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1), x[:, :, ::2].flatten(1)], 1)

    compiled = build(Do(body, 8).eval(), torch.randn(2, 8, 64, 72))
    example = torch.randn(3, 8, 64, 72)
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(compiled(example))
    torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_slices_of_slices_are_one_copy() -> None:
    sliced, padded = nodes_of(BODIES["He's shortcut"])
    assert isinstance(sliced, Rearrange)
    assert (sliced.first, sliced.sizes, sliced.steps) == (0, (4, 3, 4), (48, 16, 2))
    # Zero channels cost no copy: the slice is written into its place.
    assert isinstance(padded, Concat)
    assert padded.parts == [None, sliced.output, None]


def test_what_lies_side_by_side_is_not_copied() -> None:
    (node,) = nodes_of(lambda x: x[:, 2])
    assert isinstance(node, Rearrange)
    assert node.part_of() == (node.inputs[0], 96)
    (node,) = nodes_of(lambda x: x.permute(0, 2, 1, 3)[:, :, 1:2].permute(0, 2, 1, 3))
    assert isinstance(node, Slice)
    assert nodes_of(lambda x: x.transpose(1, 2).transpose(2, 1)) == []
    (node,) = nodes_of(lambda x: F.pad(x, (1, 0)))
    assert isinstance(node, Pad)
    assert node.before == (0, 0, 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: x.flip(0), "along the batch"),
        (lambda x: x.transpose(0, 1), "a shape that depends on the input"),
        (lambda x: x.permute(1, 0, 2, 3).flip(1), "a shape that depends on the input"),
        (lambda x: x.view(-1, 2, 2, 2, 3, 2, 2, 2, 1).transpose(1, 2), "of more than 7 axes"),
        (lambda x: F.pad(x, (0, 0, 1, 1, 1, 1), mode="reflect"), "other than rows and columns"),
        (lambda x: torch.stack([x, x], 4), "along another axis than the channels"),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    reasons = [node.reason for node in nodes_of(body) if isinstance(node, Fallback)]
    assert reasons
    assert reasons[-1].endswith(reason)
