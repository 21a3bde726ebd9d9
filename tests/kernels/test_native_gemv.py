"""Kernels of linear layers against sums in float64: sizes, batches, threads, damaged arrays."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from typing import get_args

import kernel_reference as reference
import kernel_run as run
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import candidates_by_family, refusals
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_gemv import pack_gemv
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Activation, Geometry, Problem
from openwork.kernels.to_native import native_geometry

ISAS = _C.usable_isas()
ISA = ISAS[-1]
NONE = _C.Activation.none
FAMILIES = ("f32-linear-gemv", "f32-linear-dense")
# Those that leave a sum of zero, whose allowed error is none, as it is.
PASS_ZERO: tuple[Activation, ...] = ("none", "relu", "relu6", "silu", "hardswish")


def _linear(
    inputs: int,
    outputs: int,
    density: float,
    *,
    block: int = 1,
    bias: bool = False,
    activation: Activation = "none",
) -> Problem:
    """A random pattern, each row of it repeated `block` times; every seventh row is empty."""
    random = np.random.default_rng([inputs, outputs, block])
    live = random.random((-(-outputs // block), inputs)) < density
    if density < 1:
        live[3::7] = False
    positions = np.flatnonzero(np.repeat(live, block, axis=0)[:outputs])
    weight = random.standard_normal(len(positions)).astype(np.float32)
    # A live weight may well be zero.
    weight[random.random(len(weight)) < 0.1] = 0
    added = random.standard_normal(outputs).astype(np.float32) if bias else None
    geometry = Geometry(inputs, outputs, (1, 1), (1, 1))
    return Problem(geometry, 1, positions, weight, added, activation)


def _numbers(batch: int, channels: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng([batch, channels, seed])
    return random.standard_normal((batch, channels, 1, 1)).astype(np.float32)


def _candidates(problem: Problem, isa: str) -> list[Candidate]:
    """Every kernel of linear layers, and sparse ones whose chunks are so short that several are."""
    families = candidates_by_family(problem, isa, 1, FAMILIES)
    found = [each for family in families.values() for each in family]
    return [*found, Candidate(f"f32-linear-gemv-chunks-{isa}", lambda p: _chunks(p, isa, 3))]


def _chunks(problem: Problem, isa: str, most: int) -> "_C.Layer":
    packed = pack_gemv(problem, _C.lanes(isa), 1, most)
    geometry, activation = native_geometry(problem.geometry), _C.Activation[problem.activation]
    arrays, chunk = packed.arrays(), packed.chunk
    return _C.gemv(isa, geometry, problem.bias, activation, *arrays, chunk=chunk, group=1)


def _check(
    problem: Problem,
    isa: str,
    batch: int,
    residual: np.ndarray | None = None,
    threads: int = 1,
) -> int:
    g = problem.geometry
    dense = np.zeros(g.out_channels * g.in_channels)
    dense[problem.positions] = problem.weight
    dense = dense.reshape(g.out_channels, g.in_channels)
    x = _numbers(batch, g.in_channels)
    flat = x.reshape(batch, -1).astype(np.float64)
    total, size = ((a @ b.T)[:, :, None, None] for a, b in ((flat, dense), (abs(flat), abs(dense))))
    wanted = reference.finish(problem, total, residual)
    chosen = _candidates(problem, isa)
    for candidate in chosen:
        found = run.output_of(Packed(problem, candidate), x, residual, threads)
        allowed = reference.tolerance(problem, x, size, residual, candidate.name)
        wrong = ~(np.abs(found - wanted) <= allowed)
        assert not wrong.any(), (candidate.name, np.argwhere(wrong)[0])
    return len(chosen)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("outputs", [1, 3, 15, 16, 17, 35])
@pytest.mark.parametrize("inputs", [1, 2, 15, 16, 17, 33, 129])
def test_sizes_around_a_vector(inputs: int, outputs: int, density: float, isa: str) -> None:
    problem = _linear(inputs, outputs, density, bias=True)
    for batch in (1, 3):
        assert _check(problem, isa, batch) >= 2 + (density == 1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("inputs", [65534, 65535, 65536, 65537, 140001])
def test_more_inputs_than_an_index_counts(inputs: int, isa: str) -> None:
    problem = _linear(inputs, 5, 0.01)
    families = candidates_by_family(problem, isa, 1, FAMILIES)
    x = _numbers(2, inputs)
    dense = np.zeros(5 * inputs)
    dense[problem.positions] = problem.weight
    wanted = x.reshape(2, -1).astype(np.float64) @ dense.reshape(5, -1).T
    for candidate in families["f32-linear-gemv"]:
        found = run.output_of(Packed(problem, candidate), x, None)
        np.testing.assert_allclose(found[:, :, 0, 0], wanted, atol=1e-3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [*range(1, 10), 15, 16, 17, 33])
def test_every_batch(batch: int, isa: str) -> None:
    for density in (0.2, 1.0):
        residual = _numbers(batch, 37, 1)
        problem = _linear(50, 37, density, bias=True, activation="relu")
        _check(problem, isa, batch, residual, threads=batch % 3 + 1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("block", [4, 8, 16])
def test_blocks_share_their_inputs(block: int, isa: str) -> None:
    problem = _linear(70, 6 * block, 0.3, block=block, bias=True)
    names = [each.name for each in _candidates(problem, isa)]
    lanes = _C.lanes(isa)
    assert f"f32-linear-gemv-g4-{isa}" in names
    assert (f"f32-linear-gemv-g{lanes}-{isa}" in names) == (block % lanes == 0)
    for batch in (1, 4, 5, 16):
        _check(problem, isa, batch)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_what_follows_the_sums(activation: Activation, isa: str) -> None:
    for density in (0.3, 1.0):
        problem = _linear(40, 21, density, bias=True, activation=activation)
        _check(problem, isa, 2, _numbers(2, 21, 1))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_threads_give_the_same(batch: int, isa: str) -> None:
    for outputs in (1, 37, 200):
        for density in (0.2, 1.0):
            problem = _linear(90, outputs, density, bias=True)
            x = _numbers(batch, 90)
            for candidate in _candidates(problem, isa):
                plan = Packed(problem, candidate)
                one = run.output_of(plan, x, None)
                for threads in (2, 3):
                    assert np.array_equal(one, run.output_of(plan, x, None, threads))


@pytest.mark.parametrize("isa", ISAS)
def test_a_residual_may_be_the_output(isa: str) -> None:
    for density in (0.3, 1.0):
        problem = _linear(40, 21, density)
        x, residual = _numbers(3, 40), _numbers(3, 21, 1)
        for candidate in _candidates(problem, isa):
            plan = Packed(problem, candidate)
            both = torch.from_numpy(residual.copy())
            workspace = torch.full((plan.workspace(3, 1),), torch.nan)
            plan.run(torch.from_numpy(x), both, workspace, both)
            assert np.array_equal(both.numpy(), run.output_of(plan, x, residual))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block", [1, 4, 16])
def test_nan_and_infinity_reach_what_reads_them(block: int, value: float, isa: str) -> None:
    problem = _linear(30, 48, 0.2, block=block)
    g = problem.geometry
    for batch in (1, 4, 7):
        x = _numbers(batch, 30)
        x.reshape(-1)[[4, 17, 29]] = value
        with np.errstate(invalid="ignore"):
            wanted, _ = reference.convolve(problem, x)
        assert 0 < np.isfinite(wanted).sum() < wanted.size == batch * g.out_channels
        for candidate in _candidates(problem, isa):
            found = run.output_of(Packed(problem, candidate), x, None)
            assert np.array_equal(np.isnan(found), np.isnan(wanted)), candidate.name
            assert np.array_equal(np.isposinf(found), np.isposinf(wanted)), candidate.name
            assert np.array_equal(np.isneginf(found), np.isneginf(wanted)), candidate.name


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_linear_layer(data: st.DataObject) -> None:
    draw = data.draw
    inputs, block = draw(st.integers(1, 200)), draw(st.sampled_from([1, 1, 4, 16]))
    outputs = block * draw(st.integers(1, 60 // block))
    density = draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
    activation = draw(st.sampled_from(PASS_ZERO))
    problem = _linear(
        inputs, outputs, density, block=block, bias=draw(st.booleans()), activation=activation
    )
    batch, threads = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    residual = _numbers(batch, outputs, 1) if draw(st.booleans()) else None
    _check(problem, draw(st.sampled_from(ISAS)), batch, residual, threads)


def _arrays(problem: Problem) -> list[np.ndarray]:
    return [array.copy() for array in pack_gemv(problem, _C.lanes(ISA), 1).arrays()]


def _build(problem: Problem, arrays: list[np.ndarray], chunk: int, group: int = 1) -> "_C.Layer":
    return _C.gemv(
        ISA, native_geometry(problem.geometry), None, NONE, *arrays, chunk=chunk, group=group
    )


@pytest.mark.parametrize(
    ("array", "at", "value"),
    [
        *((0, 0, value) for value in (-2, 99, 1)),
        *((1, 0, value) for value in (-1, 1)),
        *((1, 1, value) for value in (-(2**60), 2**60, 1000)),
        *((1, -1, value) for value in (0, 2**60)),
        *((2, 5, value) for value in (21, 65535)),
    ],
)
def test_damaged_arrays_are_refused(array: int, at: int, value: int) -> None:
    problem = _linear(20, 40, 0.5)
    arrays = _arrays(problem)
    _build(problem, arrays, 20)
    arrays[array][at] = value
    with pytest.raises(ValueError, match="`"):
        _build(problem, arrays, 20)


@pytest.mark.parametrize("array", range(4))
@pytest.mark.parametrize("keep", [slice(0, 0), slice(0, -1)])
def test_short_arrays_are_refused(array: int, keep: slice) -> None:
    problem = _linear(20, 40, 0.5)
    arrays = _arrays(problem)
    arrays[array] = arrays[array][keep].copy()
    with pytest.raises(ValueError, match="`"):
        _build(problem, arrays, 20)


@pytest.mark.parametrize(("chunk", "group"), [(0, 1), (-1, 1), (65536, 1), (10, 1), (20, 2)])
def test_damaged_chunks_and_groups_are_refused(chunk: int, group: int) -> None:
    problem = _linear(20, 40, 0.5)
    with pytest.raises(ValueError, match="`"):
        _build(problem, _arrays(problem), chunk, group)


def test_slices_of_another_instruction_set_are_refused() -> None:
    problem = _linear(20, 40, 0.5)
    geometry = native_geometry(problem.geometry)
    for lanes in {4, 8, 16} - {_C.lanes(ISA)}:
        arrays = pack_gemv(problem, lanes, 1).arrays()
        with pytest.raises(ValueError, match="`"):
            _C.gemv(ISA, geometry, None, NONE, *arrays, chunk=20, group=1)


def test_a_map_of_several_pixels_is_no_linear_layer() -> None:
    problem = _linear(20, 40, 1.0)
    wide = Geometry(20, 40, (1, 2), (1, 1))
    reasons = refusals(Problem(wide, 1, problem.positions, problem.weight))
    assert "not a linear layer" in reasons["f32-linear-gemv"]
    assert "not a linear layer" in reasons["f32-linear-dense"]
    for size in ((1, 2), (2, 1)):
        geometry = native_geometry(Geometry(20, 40, size, (1, 1)))
        with pytest.raises(ValueError, match="a linear layer must be"):
            _C.gemv(ISA, geometry, None, NONE, *_arrays(problem), chunk=20, group=1)
        with pytest.raises(ValueError, match="a linear layer must be"):
            _C.dense_gemv(ISA, geometry, None, NONE, problem.weight)


def test_a_dense_weight_of_another_size_is_refused() -> None:
    problem = _linear(20, 40, 1.0)
    geometry = native_geometry(problem.geometry)
    for size in (0, 799, 801):
        with pytest.raises(ValueError, match=r"`len\(weight\)`"):
            _C.dense_gemv(ISA, geometry, None, NONE, np.zeros(size, np.float32))


def test_dead_weights_are_not_a_dense_layer() -> None:
    assert "dead" in refusals(_linear(20, 40, 0.5))["f32-linear-dense"]


def test_few_vectors_leave_the_kernels_of_maps_out() -> None:
    problem = _linear(64, 64, 0.1)
    assert set(candidates_by_family(problem, ISA, 8)) >= {"f32-linear-gemv"}
    assert not candidates_by_family(problem, ISA, 8)["f32-conv-spmm"]
    assert candidates_by_family(problem, ISA, 9)["f32-conv-spmm"]
    assert candidates_by_family(problem, ISA)["f32-conv-taps"]
