"""Convolutions packed for a kernel, or for the fastest where none is named."""

import dataclasses

import numpy as np
import pytest

from openwork.errors import CheckpointError
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.runtime import layers
from openwork.runtime.layers import SharedWeights, fastest_candidate, find_candidate
from openwork.runtime.nodes import Conv
from openwork.runtime.values import Value


@pytest.fixture
def conv() -> Conv:
    x, y = Value((4, 6, 6), "x"), Value((4, 6, 6), "y")
    window = (1, 1), (1, 1), (1, 1)
    weight = np.ones(144, np.float32)
    return Conv([x], y, "layer", (6, 6), (4, 4, 3, 3), *window, 1, np.arange(144), weight, None)


def test_a_candidate_is_found_by_name(conv: Conv) -> None:
    problem, isa = conv.problem(), _C.chosen_isa()
    name = candidates(problem, isa)[-1].name
    found = find_candidate(problem, name, isa)
    assert found is not None
    assert found.name == name
    assert find_candidate(problem, "f32-conv-taps-removed", isa) is None


def test_the_fastest_is_one_that_can_run_the_layer(conv: Conv) -> None:
    isa = _C.chosen_isa()
    names = {each.name for each in candidates(conv.problem(), isa)}
    assert fastest_candidate(conv, isa, 1, 1).name in names


def test_a_huge_dense_layer_is_packed_quickly(conv: Conv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MANY_WEIGHTS", 100)
    name = fastest_candidate(conv, _C.chosen_isa(), 1, 1).name
    assert name.split("-")[2] in ("dense", "direct", "taps")


def test_a_layer_without_a_kernel_is_refused(conv: Conv) -> None:
    too_large = dataclasses.replace(conv, stride=(1 << 30, 1))
    with pytest.raises(CheckpointError, match=r"no kernel can run layer 'layer' .*`openwork.load`"):
        fastest_candidate(too_large, _C.chosen_isa(), 1, 1)


def _layer(side: int, number: float = 1.0, stride: int = 1) -> Conv:
    x, y = Value((4, side, side), "x"), Value((4, side, side), "y")
    window = (stride, stride), (1, 1), (1, 1)
    weight = np.full(144, number, np.float32)
    return Conv(
        [x], y, "layer", (side, side), (4, 4, 3, 3), *window, 1, np.arange(144), weight, None
    )


def test_equal_weights_become_one_array_and_one_set_of_packs() -> None:
    one, same = _layer(6), _layer(9)
    shared = SharedWeights()
    packs = shared.packs(one)
    assert shared.packs(same) is packs
    assert same.weight is one.weight
    assert same.positions is one.positions
    assert same.size == (9, 9)


def test_other_weights_and_strides_are_apart() -> None:
    shared = SharedWeights()
    packs = shared.packs(_layer(6))
    assert shared.packs(_layer(6, 2.0)) is not packs
    assert shared.packs(_layer(6, stride=2)) is not packs


def test_two_sizes_of_a_layer_use_what_was_packed_once() -> None:
    shared = SharedWeights()
    one, other = _layer(6), _layer(9)
    calls: list[int] = []
    for conv in (one, other):
        conv.problem(shared.packs(conv)).packed(("tile",), lambda: calls.append(1))
    assert calls == [1]
