"""Weights that several sizes of image share."""

import numpy as np

from openwork.runtime.nodes import Conv
from openwork.runtime.shared_weights import SharedWeights
from openwork.runtime.values import Value


def _conv(side: int, number: float = 1.0, stride: int = 1) -> Conv:
    x, y = Value((4, side, side), "x"), Value((4, side, side), "y")
    window = (stride, stride), (1, 1), (1, 1)
    weight = np.full(144, number, np.float32)
    return Conv(
        [x], y, "layer", (side, side), (4, 4, 3, 3), *window, 1, np.arange(144), weight, None
    )


def test_equal_weights_become_one_array_and_one_set_of_packs() -> None:
    one, same = _conv(6), _conv(9)
    shared = SharedWeights()
    packs = shared.packs(one)
    assert shared.packs(same) is packs
    assert same.weight is one.weight
    assert same.positions is one.positions
    assert same.size == (9, 9)


def test_other_weights_and_strides_are_apart() -> None:
    shared = SharedWeights()
    packs = shared.packs(_conv(6))
    assert shared.packs(_conv(6, 2.0)) is not packs
    assert shared.packs(_conv(6, stride=2)) is not packs


def test_two_sizes_of_a_layer_use_what_was_packed_once() -> None:
    shared = SharedWeights()
    one, other = _conv(6), _conv(9)
    calls: list[int] = []
    for conv in (one, other):
        conv.problem(shared.packs(conv)).packed(("tile",), lambda: calls.append(1))
    assert calls == [1]
