"""`PackedPhases`: every phase lies where it belongs, and what no tap reads is zero."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases
import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.training.candidates import kernels
from openwork.kernels.training.live_taps import live_taps
from openwork.kernels.training.phases import PackedPhases

ISA = _C.usable_isas()[-1]


def _built(case: cases.Case) -> PackedPhases:
    problem = case.problem()
    taps = live_taps(problem.geometry, problem.groups, problem.positions)
    (spmm, *_) = (each for each in kernels(taps, "input", ISA, every=True) if "spmm" in each.name)
    built = spmm.build()
    assert isinstance(built, PackedPhases)
    return built


@pytest.mark.parametrize("stride", [(2, 2), (2, 1), (3, 2)])
def test_what_no_tap_reads_is_zero(stride: tuple[int, int]) -> None:
    case = cases.Case(3, 4, (7, 9), (1, 1), stride, (0, 0), pattern="dense", batch=2)
    problem, layer = case.problem(), _built(case)
    height, width = problem.geometry.out_size
    gradient = case.random().standard_normal((2, 4, height, width)).astype(np.float32)
    found = np.full((2, 3, 7, 9), np.nan, np.float32)
    memory = np.full(layer.workspace(2, 1), np.nan, np.float32)
    layer.run(problem.weight, gradient, found, None, memory, 1)
    expected = np.zeros_like(found)
    read = np.einsum("oi,bohw->bihw", problem.weight.reshape(4, 3), gradient)
    expected[:, :, :: stride[0], :: stride[1]] = read
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_results_of_all_phases_have_room() -> None:
    layer = _built(cases.Case(3, 4, (8, 10), stride=(2, 2)))
    # As many floats as the input's gradient has, for each image.
    assert layer.workspace(5, 1) - layer.workspace(1, 1) >= 4 * 3 * 8 * 10
