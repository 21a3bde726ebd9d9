"""Every kernel, tile and instruction set of this machine over the table of boundary cases."""

from typing import get_args

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases
import kernel_reference as reference
import kernel_run as run
import numpy as np
import torch

from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Activation

TABLE = list(cases.table())
ISAS = _C.usable_isas()


def inputs_of(case: cases.Case) -> tuple[np.ndarray, np.ndarray | None]:
    random = case.random()
    height, width = case.problem().geometry.out_size
    x = random.standard_normal((case.batch, case.inputs, *case.size)).astype(np.float32)
    shape = (case.batch, case.outputs, height, width)
    return x, random.standard_normal(shape).astype(np.float32) if case.residual else None


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", TABLE, ids=str)
def test_case(case: cases.Case, isa: str) -> None:
    problem = case.problem()
    assert run.check(problem, *inputs_of(case), run.with_small_chunks(problem, isa)) > 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", TABLE[::7], ids=str)
def test_threads_give_the_same(case: cases.Case, isa: str) -> None:
    problem = case.problem()
    x, residual = inputs_of(case)
    for candidate in run.with_small_chunks(problem, isa):
        plan = Packed(problem, candidate)
        one = run.output_of(plan, x, residual)
        three = run.output_of(plan, x, residual, threads=3)
        assert np.array_equal(one, three), candidate.name


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("pattern", ["random", "dense"])
def test_outputs_that_are_fetched_before_they_are_written(pattern: str, isa: str) -> None:
    # More than 512 * 1024 floats, in rows that no vector divides.
    case = cases.Case(2, 5, (330, 331), (1, 1), padding=(0, 0), pattern=pattern, bias=True)
    problem = case.problem()
    products = "f32-conv1x1-spmm", "f32-conv1x1-dense"
    some = [each for each in candidates(problem, isa) if each.name.startswith(products)]
    assert run.check(problem, *inputs_of(case), some[::4]) > 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "case",
    [
        cases.Case(5, 6, (9, 17), *shape, pattern=pattern, activation=activation)
        for shape in (cases.SHAPES[0], cases.SHAPES[1], cases.SHAPES[7])
        for pattern in ("random", "blocks")
        for activation in get_args(Activation)
    ],
    ids=str,
)
def test_nan_and_infinity_reach_what_reads_them(case: cases.Case, value: float, isa: str) -> None:
    problem = case.problem()
    x, _ = inputs_of(case)
    x.reshape(-1)[case.random().integers(x.size, size=3)] = value
    with np.errstate(invalid="ignore", over="ignore"):
        total, _ = reference.convolve(problem, x)
        wanted = reference.finish(problem, total, None)
    for candidate in run.with_small_chunks(problem, isa):
        # Winograd mixes the pixels of a tile: there one bad pixel spoils its tile.
        if "winograd" in candidate.name:
            continue
        found = run.output_of(Packed(problem, candidate), x, None)
        assert np.array_equal(np.isnan(found), np.isnan(wanted)), candidate.name
        assert np.array_equal(np.isposinf(found), np.isposinf(wanted)), candidate.name
        assert np.array_equal(np.isneginf(found), np.isneginf(wanted)), candidate.name


@pytest.mark.parametrize("isa", ISAS)
def test_agrees_with_torch(isa: str) -> None:
    problem = cases.Case(24, 40, (19, 23)).problem()
    g = problem.geometry
    dense = np.zeros(g.out_channels * g.in_channels * 9, dtype=np.float32)
    dense[problem.positions] = problem.weight
    weight = torch.from_numpy(dense).view(g.out_channels, g.in_channels, 3, 3)
    x = torch.randn(2, g.in_channels, *g.size, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.conv2d(x, weight, padding=1)
    for candidate in run.with_small_chunks(problem, isa):
        found = torch.from_numpy(run.output_of(Packed(problem, candidate), x.numpy(), None))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
