"""A native program that takes and gives tensors."""

import numpy as np
import pytest
import torch

from openwork.engine.native_segment import NativeSegment
from openwork.engine.segment import Environment
from openwork.kernels.native import extension as _C
from openwork.runtime.nodes import Add, Mean
from openwork.runtime.program import Native
from openwork.runtime.values import Value

X, Y, TOTAL = (Value((2, 3, 4), name) for name in ("x", "y", "total"))
MEAN = Value((2,), "mean")


@pytest.fixture
def segment() -> NativeSegment:
    nodes = [Add([X, Y], TOTAL), Mean([TOTAL], MEAN)]
    return NativeSegment(Native(nodes, {}, {TOTAL, MEAN}, _C.chosen_isa()))


def test_it_says_what_it_reads_and_does(segment: NativeSegment) -> None:
    assert list(segment.reads) == [X, Y]
    assert list(segment.steps) == [("total", "add"), ("mean", "mean")]


@pytest.mark.parametrize("batch", [1, 3])
def test_outputs_are_added_to_the_tensors(segment: NativeSegment, batch: int) -> None:
    x, y = torch.randn(batch, 2, 3, 4), torch.randn(batch, 2, 3, 4)
    tensors: Environment = {X: x, Y: y}
    segment.run(tensors, batch, 1)
    assert tensors.keys() == {X, Y, TOTAL, MEAN}
    assert (tensors[X] is x, tensors[Y] is y) == (True, True)
    assert torch.equal(tensors[TOTAL], x + y)
    torch.testing.assert_close(tensors[MEAN], (x + y).mean((2, 3)))


def test_tensors_of_any_strides_and_with_gradients_are_read(segment: NativeSegment) -> None:
    x = torch.randn(2, 4, 3, 2).permute(0, 3, 2, 1)
    y = torch.randn(2, 2, 3, 4, requires_grad=True)
    tensors: Environment = {X: x, Y: y}
    segment.run(tensors, 2, 1)
    assert torch.equal(tensors[TOTAL], x + y.detach())
    assert not tensors[TOTAL].requires_grad


def test_calls_give_new_tensors_of_float32(segment: NativeSegment) -> None:
    first: Environment = {X: torch.zeros(1, 2, 3, 4), Y: torch.ones(1, 2, 3, 4)}
    second = dict(first) | {Y: 2 * first[Y]}
    torch.set_default_dtype(torch.float64)
    try:
        segment.run(first, 1, 1)
        segment.run(second, 1, 1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert first[TOTAL].dtype == torch.float32
    assert (first[TOTAL] == 1).all()
    assert (second[TOTAL] == 2).all()


def test_the_time_of_each_step_is_given(segment: NativeSegment) -> None:
    seconds = np.full(2, -1.0)
    images = torch.zeros(2, 2, 3, 4)
    segment.run({X: images, Y: images}, 2, 1, seconds)
    assert (seconds > 0).all()
