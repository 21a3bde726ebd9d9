"""The kernels that train, all of them, over the table of boundary cases."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from collections.abc import Iterator
from typing import Any

import kernel_cases as cases
import kernel_gradients as gradients
import kernel_reference as reference
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Problem
from openwork.kernels.training.candidates import (
    DIRECTIONS,
    Direction,
    TrainingKernel,
    kernels,
)
from openwork.kernels.training.live_taps import LiveTaps, live_taps
from openwork.kernels.training.pack import (
    sampled_direct,
    sampled_spmm,
    sampled_winograd,
    trainable_direct,
    trainable_spmm,
    trainable_taps,
    trainable_winograd,
)

ISAS = _C.usable_isas()
TABLE = [case for case in cases.table() if case.activation == "none" and not case.residual]


def taps_of(problem: Problem) -> LiveTaps:
    return live_taps(problem.geometry, problem.groups, problem.positions)


def numbers_of(case: cases.Case) -> tuple[np.ndarray, np.ndarray]:
    """Input and output gradient."""
    random = case.random()
    height, width = case.problem().geometry.out_size
    x = random.standard_normal((case.batch, case.inputs, *case.size)).astype(np.float32)
    shape = (case.batch, case.outputs, height, width)
    return x, random.standard_normal(shape).astype(np.float32)


def run_convolution(
    kernel: Any, problem: Problem, x: np.ndarray, shape: tuple[int, ...], threads: int
) -> np.ndarray:
    """What it writes; everything it must write is NaN before, and its workspace too."""
    found = np.full(shape, np.nan, np.float32)
    memory = np.full(kernel.workspace(len(x), threads), np.nan, np.float32)
    kernel.run(problem.weight, x, found, None, memory, threads)
    return found


def run_weight(
    kernel: Any, problem: Problem, x: np.ndarray, gradient: np.ndarray, threads: int
) -> np.ndarray:
    found = np.full(len(problem.weight), np.nan, np.float32)
    memory = np.full(kernel.workspace(len(x), threads), np.nan, np.float32)
    kernel.run(x, gradient, found, memory, threads)
    return found


def compute(
    direction: Direction,
    kernel: TrainingKernel,
    problem: Problem,
    x: np.ndarray,
    gradient: np.ndarray,
    threads: int = 1,
) -> np.ndarray:
    built = kernel.build()
    if direction == "weight":
        return run_weight(built, problem, x, gradient, threads)
    if direction == "forward":
        return run_convolution(built, problem, x, gradient.shape, threads)
    return run_convolution(built, problem, gradient, x.shape, threads)


def wanted(
    direction: Direction, kernel: str, problem: Problem, x: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(result, allowed error)."""
    if direction == "forward":
        total, size = reference.convolve(problem, x)
        return total, reference.tolerance(problem, x, size, None, kernel)
    if direction == "input":
        total, size = gradients.input_gradient(problem, gradient)
        return total, gradients.input_tolerance(problem, gradient, size, kernel)
    total, size = gradients.weight_gradient(problem, x, gradient)
    return total, gradients.weight_tolerance(problem, x, gradient, size, kernel)


def check(case: cases.Case, isa: str, threads: int = 1) -> int:
    problem = case.problem()
    taps = taps_of(problem)
    x, gradient = numbers_of(case)
    count = 0
    for direction in DIRECTIONS:
        for kernel in kernels(taps, direction, isa, every=True):
            found = compute(direction, kernel, problem, x, gradient, threads)
            result, allowed = wanted(direction, kernel.name, problem, x, gradient)
            worst = float((np.abs(found - result) - allowed).max(initial=-1.0))
            assert not np.isnan(found).any(), (direction, kernel.name)
            assert worst <= 0, (direction, kernel.name, worst)
            count += 1
    return count


# All cases on the best instruction set; the sources are the same for the others.
@pytest.mark.parametrize(
    ("case", "isa"),
    [
        *((case, ISAS[-1]) for case in TABLE),
        *((case, isa) for isa in ISAS[:-1] for case in TABLE[::4]),
    ],
    ids=str,
)
def test_case(case: cases.Case, isa: str) -> None:
    assert (check(case, isa) > 0) == (len(case.problem().positions) > 0)


@settings(max_examples=60, deadline=None)
@given(case=cases.any_case(), isa=st.sampled_from(ISAS), threads=st.integers(1, 3))
def test_any_convolution(case: cases.Case, isa: str, threads: int) -> None:
    check(case, isa, threads)


def convolution(name: str, layer: "_C.Trainable") -> tuple[Direction, TrainingKernel]:
    return "forward", TrainingKernel(name, lambda: layer)


def sampled(name: str, layer: "_C.Sampled") -> tuple[Direction, TrainingKernel]:
    return "weight", TrainingKernel(name, lambda: layer)


def direct_tiles(taps: LiveTaps, isa: str) -> Iterator[tuple[Direction, TrainingKernel]]:
    """The tiles of whole kernels with stride 1."""
    g = taps.geometry
    if (g.stride, g.dilation) != ((1, 1), (1, 1)) or taps.tap is not None:
        return
    for rows, vectors in _C.row_tiles(isa) if g.kernel in ((3, 3), (5, 5)) else ():
        layer = trainable_direct(taps, isa, rows, vectors)
        yield convolution(f"direct-{rows}x{vectors}", layer)
    if g.kernel == (3, 3):
        yield convolution("direct-maps", trainable_direct(taps, isa, 0, 0))
        yield sampled("direct", sampled_direct(taps, isa))


def tiles(taps: LiveTaps, isa: str) -> Iterator[tuple[Direction, TrainingKernel]]:
    """Every tile, group and chunk, small ones included, beside those worth measuring."""
    g = taps.geometry
    winograd = (g.kernel, g.stride, g.dilation) == ((3, 3), (1, 1), (1, 1))
    for group in (1, 2, 4):
        for vectors in range(1, _C.most_vectors(isa, group) + 1):
            spmm = trainable_spmm(taps, isa, vectors, 3, group, False)
            yield convolution(f"spmm-v{vectors}g{group}", spmm)
            for output in (2, 4) if winograd else ():
                layer = trainable_winograd(taps, isa, output, vectors, 3, group)
                yield convolution(f"winograd{output}-v{vectors}g{group}", layer)
    for rows, vectors in _C.tap_tiles(isa):
        layer = trainable_taps(taps, isa, rows, vectors, False)
        yield convolution(f"taps-{rows}x{vectors}", layer)
    yield from direct_tiles(taps, isa)
    for direction in DIRECTIONS:
        for kernel in kernels(taps, direction, isa, every=True):
            if "depthwise" in kernel.name:
                yield direction, kernel
    for vectors in (1, 2, 4, 8):
        if vectors == 8 and isa in ("baseline", "avx2"):
            continue
        for chunk in (1, 3, 65535):
            layer = sampled_spmm(taps, isa, vectors, chunk, False)
            yield sampled(f"spmm-v{vectors}k{chunk}", layer)
            if winograd:
                layer = sampled_winograd(taps, isa, vectors, chunk)
                yield sampled(f"winograd-v{vectors}k{chunk}", layer)


MANY = cases.Case(17, 9, (9, 21), batch=3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "case",
    [
        MANY,
        cases.Case(20, 7, (5, 7), batch=5, pattern="taps"),
        cases.Case(18, 9, (9, 11), batch=32),
        cases.Case(7, 9, (1, 33), padding=(2, 0), batch=3),
        cases.Case(7, 9, (6, 18), (5, 5), padding=(2, 2), batch=2),
        cases.Case(5, 7, (2, 50), batch=16),
        # Sums of a map in several bands, of images that threads share, and of whole ones.
        cases.Case(3, 4, (90, 33)),
        cases.Case(3, 4, (60, 70), batch=7),
        cases.Case(19, 6, (4, 4), batch=50),
        cases.Case(40, 33, (1, 37), (1, 1), padding=(0, 0), pattern="dense"),
        cases.Case(6, 8, (9, 10), (3, 2), (2, 1), (1, 1), groups=2, batch=2),
        # More channels than have their sums kept at once, and one map at a time.
        cases.Case(37, 37, (5, 6), groups=37, pattern="dense", batch=5),
        cases.Case(4, 4, (70, 66), (5, 5), (2, 2), (2, 2), groups=4, pattern="dense", batch=2),
    ],
    ids=str,
)
def test_every_tile_gives_the_same_on_any_number_of_threads(case: cases.Case, isa: str) -> None:
    problem = case.problem()
    x, gradient = numbers_of(case)
    for direction, kernel in tiles(taps_of(problem), isa):
        one = compute(direction, kernel, problem, x, gradient)
        result, allowed = wanted(direction, kernel.name, problem, x, gradient)
        assert (np.abs(one - result) <= allowed).all(), (direction, kernel.name)
        three = compute(direction, kernel, problem, x, gradient, threads=3)
        assert np.array_equal(one, three), (direction, kernel.name)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "case",
    [
        cases.Case(5, 6, (9, 17), stride=(1, 1), pattern="taps"),
        cases.Case(5, 6, (9, 17), stride=(2, 2), pattern="taps"),
        cases.Case(5, 6, (9, 17)),
        *(
            cases.Case(4, 4, (9, 17 + pad), (k, k), (s, s), (pad, pad), groups=4, pattern="dense")
            for k, s, pad in ((3, 1, 1), (3, 1, 0), (5, 1, 2), (3, 2, 0), (3, 2, 1), (5, 2, 2))
        ),
    ],
    ids=str,
)
def test_nan_and_infinity_reach_what_reads_them(
    case: cases.Case, value: float, direction: Direction, isa: str
) -> None:
    problem = case.problem()
    x, gradient = numbers_of(case)
    x[:, :, 3:5, 7:9] = x[0, 0, -1, -1] = gradient[:, :, 2, 5] = value
    with np.errstate(invalid="ignore"):
        result, _ = wanted(direction, "", problem, x, gradient)
    assert not np.isfinite(result).all()
    for kernel in kernels(taps_of(problem), direction, isa, every=True):
        # Winograd mixes the pixels of a tile: there one bad pixel spoils its tile.
        if "winograd" not in kernel.name:
            found = compute(direction, kernel, problem, x, gradient)
            assert np.array_equal(np.isnan(found), np.isnan(result)), kernel.name
            assert np.array_equal(np.isposinf(found), np.isposinf(result)), kernel.name


def test_a_bias_is_added_to_each_filter() -> None:
    problem = MANY.problem()
    x, gradient = numbers_of(MANY)
    bias = MANY.random().standard_normal(9).astype(np.float32)
    total, _ = reference.convolve(problem, x)
    for kernel in kernels(taps_of(problem), "forward", ISAS[-1], every=True):
        built, found = kernel.build(), np.empty_like(gradient)
        memory = np.empty(built.workspace(3, 1), np.float32)
        built.run(problem.weight, x, found, bias, memory, 1)
        assert np.allclose(found, total + bias[:, None, None], atol=1e-4), kernel.name


def test_the_next_call_may_bring_other_weights() -> None:
    problem = MANY.problem()
    x, gradient = numbers_of(MANY)
    for kernel in kernels(taps_of(problem), "forward", ISAS[-1], every=True):
        built = kernel.build()
        once = run_convolution(built, problem, x, gradient.shape, 1)
        negated = Problem(problem.geometry, 1, problem.positions, -problem.weight)
        assert np.array_equal(run_convolution(built, negated, x, gradient.shape, 1), -once)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_smaller_call_fits_the_workspace_of_a_larger_one(threads: int) -> None:
    taps = taps_of(cases.Case(5, 7, (9, 11), batch=1).problem())
    for direction, kernel in tiles(taps, ISAS[-1]):
        if direction != "weight":
            floats = [kernel.build().workspace(batch, threads) for batch in range(1, 40)]
            assert floats == sorted(floats), kernel.name
            fewer = kernel.build().workspace(39, max(1, threads - 1))
            assert fewer <= floats[-1], kernel.name


def test_a_row_of_sums_that_does_not_fit_is_refused() -> None:
    wide = taps_of(cases.Case(1, 1, (1, 2049), pattern="dense").problem())
    with pytest.raises(ValueError, match="a row of sums does not fit"):
        trainable_direct(wide, ISAS[-1], 0, 0)
    names = [each.name for each in kernels(wide, "forward", ISAS[-1], every=True)]
    assert names
    assert not any("maps" in name for name in names)
    with pytest.raises(ValueError, match="not 3x3"):
        trainable_direct(
            taps_of(cases.Case(1, 1, (5, 5), (5, 5), padding=(2, 2)).problem()), ISAS[-1], 0, 0
        )


def test_a_dead_layer_has_no_kernel() -> None:
    dead = cases.Case(4, 5, (9, 9), pattern="all-dead").problem()
    assert [kernels(taps_of(dead), way, ISAS[-1]) for way in DIRECTIONS] == [[], [], []]


def _algorithms(case: cases.Case, direction: Direction) -> list[str]:
    found = kernels(taps_of(case.problem()), direction, ISAS[-1])
    return sorted({p for each in found for p in each.name.split("-") if p in ALGORITHMS})


ALGORITHMS = {"winograd4", "winograd2", "direct", "spmm"}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("case", "convolution", "weight"),
    [
        # For each kernel and 4x4 pixels Winograd needs 36 multiply-adds, others 144, which take
        # registers of several rows a third of the time. Of 2x2 pixels it needs 16.
        (cases.Case(64, 64, (16, 16)), ["direct", "winograd4"], ["direct", "winograd4"]),
        # Rows of two pixels fill a quarter of eight lanes, and less of more.
        (
            cases.Case(64, 64, (2, 2)),
            ["winograd2"],
            ["direct"] * (_C.lanes(ISAS[-1]) <= 8) + ["spmm", "winograd4"],
        ),
        (cases.Case(64, 64, (1, 1), pattern="dense"), ["spmm", "winograd2"], ["spmm"]),
        (cases.Case(64, 64, (16, 16), kernel=(5, 5), padding=(2, 2)), ["direct"], ["spmm"]),
        (cases.Case(64, 64, (16, 16), kernel=(7, 7), padding=(3, 3)), ["spmm"], ["spmm"]),
    ],
    # Lists: sets print differently in each of several test processes.
    ids=str,
)
def test_what_cannot_be_the_fastest_is_not_measured(
    case: cases.Case, convolution: list[str], weight: list[str], direction: Direction
) -> None:
    assert _algorithms(case, direction) == (weight if direction == "weight" else convolution)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_layers_are_measured_on_kernels_made_for_them(stride: int) -> None:
    case = cases.Case(64, 64, (16, 16), stride=(stride, stride), groups=64, pattern="dense")
    transposed = "conv" if stride == 1 else "transposed"
    ops = {"forward": "conv", "input": transposed, "weight": "grad"}
    for direction in DIRECTIONS:
        (found,) = kernels(taps_of(case.problem()), direction, ISAS[-1])
        assert found.name == f"f32-{ops[direction]}-depthwise-{ISAS[-1]}"
    shared = cases.Case(32, 64, (16, 16), stride=(2, 2), groups=32, pattern="dense")
    names = [each.name for each in kernels(taps_of(shared.problem()), "input", ISAS[-1], True)]
    assert names
    assert not any("transposed" in name for name in names)


def test_a_pattern_of_few_taps_is_measured_both_ways() -> None:
    problem = cases.Case(64, 64, (16, 16), pattern="dense").problem()
    some = problem.positions[::9] + np.arange(len(problem.positions[::9])) % 9
    taps = live_taps(problem.geometry, 1, some)
    names = [each.name for each in kernels(taps, "forward", ISAS[-1])]
    assert any("winograd4" in name for name in names)
    assert any("spmm" in name for name in names)


def test_every_kernel_that_can_run_is_found_by_its_name() -> None:
    taps = taps_of(cases.Case(64, 64, (16, 16)).problem())
    for direction in DIRECTIONS:
        some, every = (
            {each.name for each in kernels(taps, direction, ISAS[-1], every=every)}
            for every in (False, True)
        )
        assert some < every
