"""Random geometries, patterns and epilogues against the reference."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases
import kernel_run as run
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_convolution(data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    case = cases.Case(
        groups * data.draw(st.integers(1, 6)),
        groups * data.draw(st.integers(1, 6)),
        data.draw(st.tuples(st.integers(1, 20), st.integers(1, 40))),
        data.draw(st.sampled_from([(3, 3), (1, 1), (5, 5), (1, 7), (7, 1), (2, 3), (4, 4)])),
        data.draw(pairs),
        data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        data.draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)])),
        groups,
        data.draw(st.integers(1, 3)),
        data.draw(st.sampled_from(cases.PATTERNS)),
        data.draw(st.sampled_from(["none", "relu", "relu6", "silu", "hardswish"])),
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        data.draw(st.integers(0, 1000)),
    )
    height, width = case.problem().geometry.out_size
    assume(height > 0 and width > 0)
    problem = case.problem()
    random = case.random()
    x = random.standard_normal((case.batch, case.inputs, *case.size)).astype(np.float32)
    shape = (case.batch, case.outputs, height, width)
    residual = random.standard_normal(shape).astype(np.float32) if case.residual else None
    isa = data.draw(st.sampled_from(_C.usable_isas()))
    threads = data.draw(st.integers(1, 3))
    run.check(problem, x, residual, run.with_small_chunks(problem, isa), threads)
