"""The product in bfloat16: every tile gives the bits that plain numpy does.

On a processor with AVX-512 BF16 its instructions take part, and give the same bits as those that
emulate them.
"""

from dataclasses import replace

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases
import kernel_reference
import kernel_run as run
import numpy as np
import pair_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels import dispatch
from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import candidates_by_family, refusals, worth_measuring
from openwork.kernels.narrow.pack_pairs import SHARED, shares_columns
from openwork.kernels.narrow.pair_tile import FAMILY, PairTile, has_pairs, named_here
from openwork.kernels.native import extension as _C
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Geometry, Problem

ISAS = _C.pair_isas()
TABLE = [case for case in cases.table() if FAMILY.refusal(case.problem()) is None]


def _groups(problem: Problem) -> tuple[int, ...]:
    return (SHARED, 4) if shares_columns(problem) else (1, 2, 4)


def _output(
    problem: Problem, x: np.ndarray, tile: PairTile, residual: np.ndarray | None, threads: int = 1
) -> np.ndarray:
    return run.output_of(Packed(problem, Candidate("", tile)), x, residual, threads)


def _length(problem: Problem) -> int:
    """Connections of the filter that has most."""
    return int(np.bincount(problem.units()[0], minlength=1).max())


def _inputs(case: cases.Case) -> tuple[np.ndarray, np.ndarray | None]:
    random = case.random()
    x = random.standard_normal((case.batch, case.inputs, *case.size)).astype(np.float32)
    shape = (case.batch, case.outputs, *case.problem().geometry.out_size)
    return x, random.standard_normal(shape).astype(np.float32) if case.residual else None


def _check(case: cases.Case, chunk: int, group: int, threads: int = 1) -> None:
    """Every tile: the sums bit for bit, and what follows them closely."""
    problem, (x, residual) = case.problem(), _inputs(case)
    wanted = reference.sums(problem, x, chunk, group)
    total, size = kernel_reference.convolve(problem, x)
    # Both factors are rounded, then each product is added with one rounding.
    bound = (2.1 * reference.ROUNDING + _length(problem) * 2.0**-24) * size + 1e-37
    assert (np.abs(wanted - total) <= bound).all()
    finished = kernel_reference.finish(problem, wanted.astype(np.float64), residual)
    allowed = kernel_reference.tolerance(problem, x, np.abs(wanted), residual, "bf16")
    for isa in ISAS:
        for vectors in range(1, _C.most_pair_vectors(group) + 1):
            tile = PairTile(isa, vectors, chunk, group)
            found = _output(reference.bare(problem), x, tile, None, threads)
            np.testing.assert_array_equal(found, wanted, err_msg=str(tile))
            found = _output(problem, x, tile, residual, threads)
            assert (np.abs(found - finished) <= allowed).all(), tile


def test_every_layer_that_is_not_refused_has_a_tile() -> None:
    few = [cases.Case(8, outputs, (9, 9), pattern="dense") for outputs in range(1, 10)]
    for case in (*TABLE, *few):
        assert list(FAMILY.candidates(case.problem(), ISAS[0], 1)), case


@pytest.mark.parametrize("case", TABLE[::5], ids=str)
def test_case(case: cases.Case) -> None:
    for group in _groups(case.problem()):
        _check(case, 256, group)


@pytest.mark.parametrize("case", TABLE[3::25], ids=str)
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_short_chunks(case: cases.Case, chunk: int) -> None:
    for group in _groups(case.problem()):
        _check(case, chunk, group)


@settings(max_examples=25, deadline=None)
@given(case=cases.any_finished_case(), data=st.data())
def test_any_convolution(case: cases.Case, data: st.DataObject) -> None:
    chunk, threads = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 3))
    _check(case, chunk, data.draw(st.sampled_from(_groups(case.problem()))), threads)


@pytest.mark.parametrize("outputs", [8, 9, 64, 130])
def test_eight_filters_that_share_their_inputs(outputs: int) -> None:
    random = np.random.default_rng(outputs)
    live = np.repeat(random.random((-(-outputs // 8), 21)) < 0.4, 8, axis=0)[:outputs]
    positions = np.flatnonzero(np.repeat(live[:, :, None], 9, axis=2))
    weight = random.standard_normal(len(positions)).astype(np.float32)
    problem = Problem(Geometry(21, outputs, (9, 11), (3, 3), padding=(1, 1)), 1, positions, weight)
    assert shares_columns(problem)
    x = random.standard_normal((2, 21, 9, 11)).astype(np.float32)
    for chunk in (7, 256):
        wanted = reference.sums(problem, x, chunk, SHARED)
        for isa in ISAS:
            for vectors in (1, 2, 3):
                tile = PairTile(isa, vectors, chunk, SHARED)
                found = _output(problem, x, tile, None)
                np.testing.assert_array_equal(found, wanted, err_msg=str(tile))


def test_numbers_at_the_ends_of_the_range() -> None:
    """Denormal numbers, halves, sums that cancel, overflow, and what is not finite."""
    random = np.random.default_rng(0)
    case = cases.Case(9, 8, (12, 20), (1, 1), padding=(0, 0), pattern="dense")
    problem = case.problem()
    tiny = 2.0 ** random.integers(-149, -60, problem.weight.size)
    weight = (tiny * random.choice([-1, 1], tiny.size)).astype(np.float32)
    problem = replace(problem, weight=weight, packs={})
    x = 2.0 ** random.integers(-149, 128, (1, 9, 12, 20))
    x = (x * random.choice([-1, -1.5, 1, 1.00390625], x.shape)).astype(np.float32)
    x.reshape(-1)[::97] = [np.inf, -np.inf, np.nan] * 7 + [np.inf] * 2
    for group in (SHARED, 4):
        wanted = reference.sums(problem, x, 256, group)
        assert np.isnan(wanted).any()
        assert np.isposinf(wanted).any()
        assert (wanted == 0).any()
        for isa in ISAS:
            found = _output(problem, x, PairTile(isa, 3, 256, group), None)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("pattern", ["random", "dense", "blocks"])
def test_what_is_not_finite_reaches_what_reads_it(pattern: str, value: float) -> None:
    # An odd number of inputs: one of them is paired with zeros.
    case = cases.Case(5, 8, (9, 17), pattern=pattern)
    problem, (x, _) = case.problem(), _inputs(case)
    x.reshape(-1)[case.random().integers(x.size, size=3)] = value
    with np.errstate(invalid="ignore"):
        wanted, _ = kernel_reference.convolve(problem, x)
    for group in _groups(problem):
        for isa in ISAS:
            found = _output(problem, x, PairTile(isa, 2, 7, group), None)
            for kind in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(kind(found), kind(wanted))


def test_names_say_every_choice() -> None:
    problem = cases.Case(24, 16, (9, 9)).problem()
    isa = _C.usable_isas()[-1]
    found = candidates_by_family(problem, isa)[FAMILY.name]
    assert f"bf16-conv-spmm-v4k128g2-{_C.pair_isa_of(isa)}" in [each.name for each in found]
    for each in found:
        tile = each.build
        assert isinstance(tile, PairTile)
        assert each.name.endswith(f"-v{tile.vectors}k{tile.chunk}g{tile.group}-{tile.isa}")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (cases.Case(18, 37, (1, 1), (1, 1), padding=(0, 0)), "linear layers"),
        (cases.Case(4, 8, (9, 9), groups=4, pattern="dense"), "read one channel each"),
        (cases.Case(2, 1, (50, 50), (33, 32)), "1056 taps"),
    ],
    ids=str,
)
def test_layers_that_stay_in_float32(case: cases.Case, reason: str) -> None:
    assert reason in refusals(case.problem())[FAMILY.name]


def test_it_is_measured_only_where_it_is_asked_for_and_native(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random, dense = cases.Case(8, 8, (9, 9)), cases.Case(8, 8, (9, 9), (1, 1), pattern="dense")
    isas = _C.usable_isas()
    for problem in (random.problem(), dense.problem()):
        for isa in isas:
            assert FAMILY.name not in worth_measuring(problem, isa, 4)
            measured = FAMILY.name in worth_measuring(problem, isa, 4, bfloat16=True)
            assert measured == has_pairs(isa)
    monkeypatch.setattr(dispatch, "has_pairs", lambda _: True)
    assert FAMILY.name in worth_measuring(dense.problem(), isas[0], 4, bfloat16=True)
    assert FAMILY.name not in worth_measuring(dense.problem(), isas[0], 4)


def test_a_kernel_has_the_same_tile_under_its_name_here() -> None:
    problem = cases.Case(24, 16, (9, 9)).problem()
    for isa in _C.usable_isas():
        names = [each.name for each in candidates_by_family(problem, isa)[FAMILY.name]]
        for other in ("avx512bf16", "avx2", "neon"):
            named = f"bf16-conv-spmm-v8k128g1-{other}"
            assert named_here(named, isa) == f"bf16-conv-spmm-v8k128g1-{_C.pair_isa_of(isa)}"
            assert named_here(named, isa) in names
        assert named_here("f32-conv-taps-1x1-avx512", isa) == "f32-conv-taps-1x1-avx512"
