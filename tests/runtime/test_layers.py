"""Convolutions packed for a kernel, or for the fastest where none is named."""

import dataclasses

import numpy as np
import pytest

from openwork.errors import CheckpointError
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.runtime import layers
from openwork.runtime.layers import fastest_candidate, find_candidate
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
