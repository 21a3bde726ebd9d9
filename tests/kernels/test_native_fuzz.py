"""Random geometries, patterns and epilogues against the reference."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")


import kernel_cases as cases
import kernel_run as run
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C


@settings(max_examples=60, deadline=None)
@given(case=cases.any_finished_case(), data=st.data())
def test_any_convolution(case: cases.Case, data: st.DataObject) -> None:
    height, width = case.problem().geometry.out_size
    problem = case.problem()
    random = case.random()
    x = random.standard_normal((case.batch, case.inputs, *case.size)).astype(np.float32)
    shape = (case.batch, case.outputs, height, width)
    residual = random.standard_normal(shape).astype(np.float32) if case.residual else None
    isa = data.draw(st.sampled_from(_C.usable_isas()))
    threads = data.draw(st.integers(1, 3))
    run.check(problem, x, residual, run.with_small_chunks(problem, isa), threads)
