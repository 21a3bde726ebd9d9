"""Norms, reductions and weighted sums: against numpy in float64, and damaged numbers refused."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from openwork.kernels.native import extension as _C

ISAS = _C.usable_isas()
EPSILON = float(np.finfo(np.float32).eps)
NONE = _C.Activation["none"]
# Columns that fill no vector, one, four, and several; rows of one piece and of several.
SHAPES = (
    *((1, 7, 1), (3, 96, 1), (2, 5, 37), (1, 40, 64), (4, 3, 3), (1, 1, 5), (1, 33, 129)),
    *((2, 4096, 1), (2, 4097, 1), (1, 20000, 1)),
)


def _run(
    program: Any, arrays: list[np.ndarray], floats: int, threads: int = 1, batch: int = 2
) -> np.ndarray:
    output = np.full((batch, floats), np.nan, np.float32)
    arena = np.empty(program.arena(batch, threads), np.float32)
    program.run(arrays, [output], arena, batch, threads)
    return output


def _normalized(
    x: np.ndarray,
    isa: str,
    *,
    repeat: int = 1,
    eps: float = 1e-5,
    weight: Any = (),
    bias: Any = (),
    activation: str = "none",
    threads: int = 1,
) -> np.ndarray:
    _, _, size, inner = x.shape
    program = _C.Program(isa)
    floats = x[0].size
    program.normalize(
        program.input(floats), program.output(floats), size, inner, repeat, eps,
        list(weight), list(bias), _C.Activation[activation],
    )  # fmt: skip
    return _run(program, [x], floats, threads, len(x)).reshape(x.shape)


def _exact(x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    wide = x.astype(np.float64)
    mean, variance = wide.mean(2, keepdims=True), wide.var(2, keepdims=True)
    return (wide - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normalize(shape: tuple[int, int, int], isa: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(3, 2, (2, *shape)).astype(np.float32)
    outer, size, _ = shape
    wanted = _exact(x)
    np.testing.assert_allclose(_normalized(x, isa), wanted, rtol=0, atol=40 * EPSILON)
    weight, bias = random.random((2, size), np.float32)
    scaled = wanted * weight[:, None] + bias[:, None]
    found = _normalized(x, isa, weight=weight, bias=bias, activation="relu")
    np.testing.assert_allclose(found, np.maximum(scaled, 0), rtol=0, atol=40 * EPSILON)
    found = _normalized(x, isa, bias=bias)
    np.testing.assert_allclose(found, wanted + bias[:, None], rtol=0, atol=40 * EPSILON)
    # A weight for each number of all axes.
    weights = random.random((outer, size), np.float32)
    found = _normalized(x, isa, weight=weights.reshape(-1))
    np.testing.assert_allclose(found, wanted * weights[..., None], rtol=0, atol=40 * EPSILON)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("groups", "channels", "pixels"),
    [(1, 3, 5), (2, 6, 1), (4, 8, 49), (3, 3, 100), (2, 6, 2500), (1, 40, 300), (5, 10, 4096)],
)
def test_groups_of_channels(groups: int, channels: int, pixels: int, isa: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(-1, 3, (2, groups, channels // groups * pixels, 1)).astype(np.float32)
    weight, bias = random.normal(size=(2, channels)).astype(np.float32)
    exact = _exact(x).reshape(2, channels, pixels) * weight[:, None] + bias[:, None]
    for threads in (1, 3):
        found = _normalized(x, isa, repeat=pixels, weight=weight, bias=bias, threads=threads)
        np.testing.assert_allclose(found.reshape(exact.shape), exact, rtol=0, atol=100 * EPSILON)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(1, 96, 50), (3, 50, 1), (1, 30000, 1)], ids=str)
def test_a_mean_far_from_zero_costs_no_more_than_rounding(
    shape: tuple[int, int, int], isa: str
) -> None:
    x = np.random.default_rng(0).normal(3000, 1, (2, *shape)).astype(np.float32)
    np.testing.assert_allclose(_normalized(x, isa), _exact(x), rtol=0, atol=60 * EPSILON)
    same = np.full((2, *shape), 1234.5678, np.float32)
    assert np.abs(_normalized(same, isa)).max() <= 1e-3


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_do_not_depend_on_threads_or_on_the_batch(
    shape: tuple[int, int, int], isa: str
) -> None:
    x = np.random.default_rng(0).normal(0, 1, (3, *shape)).astype(np.float32)
    one = _normalized(x, isa)
    assert np.array_equal(_normalized(x, isa, threads=3), one)
    assert np.array_equal(_normalized(x[1:2], isa)[0], one[1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(1, 9, 70), (70, 9, 1), (2, 9000, 1)], ids=str)
def test_nan_and_infinity_spoil_their_axis_alone(shape: tuple[int, int, int], isa: str) -> None:
    x = np.random.default_rng(0).normal(0, 1, (2, *shape)).astype(np.float32)
    clean = _normalized(x, isa)
    bad = x.copy()
    bad[0, 0, 3, 0], bad[1, -1, 5, -1] = np.nan, np.inf
    spoiled = np.zeros(x.shape, bool)
    spoiled[0, 0, :, 0] = spoiled[1, -1, :, -1] = True
    found = _normalized(bad, isa)
    assert np.isnan(found[spoiled]).all()
    assert np.array_equal(found[~spoiled], clean[~spoiled])


@pytest.mark.parametrize("shape", [(1, 9, 70), (70, 9, 1), (2, 9000, 1)], ids=str)
def test_in_place(shape: tuple[int, int, int]) -> None:
    x = np.random.default_rng(0).normal(0, 1, (2, *shape)).astype(np.float32)
    floats = x[0].size
    program = _C.Program(ISAS[-1])
    given, slot = program.input(floats), program.arena_slot(0, floats)
    program.copy(given, slot)
    program.normalize(slot, slot, *shape[1:], 1, 1e-5, [], [], NONE)
    program.copy(slot, program.output(floats))
    found = _run(program, [x], floats, 2).reshape(x.shape)
    assert np.array_equal(found, _normalized(x, ISAS[-1]))


def test_parts_of_larger_images() -> None:
    x = np.random.default_rng(0).normal(0, 1, (3, 2, 9000)).astype(np.float32)
    program = _C.Program(ISAS[-1])
    given, output = program.input(18000), program.output(18000)
    for half in (0, 9000):
        part = program.part(given, half, 9000), program.part(output, half, 9000)
        program.normalize(*part, 9000, 1, 1, 1e-5, [], [], NONE)
    found = _run(program, [x.reshape(3, -1)], 18000, 2, 3).reshape(3, 2, 9000, 1)
    assert np.array_equal(found, _normalized(x[..., None], ISAS[-1]))


GOOD = {"size": 6, "inner": 2, "repeat": 1, "eps": 1e-5, "weight": [1.0] * 6, "bias": [0.0] * 6}


@pytest.mark.parametrize(
    "changed",
    [
        *({"size": value} for value in (-1, 0, 5, 24, 2**40, 2**62)),
        *({"inner": value} for value in (-1, 0, 3, 5, 2**40, 2**62)),
        *({"repeat": value} for value in (-1, 0, 2, 2**40, 2**62)),
        *({"eps": value} for value in (-1e-9, float("nan"))),
        *({name: [1.0] * count} for name in ("weight", "bias") for count in (1, 5, 24)),
        *({"weight": [], "bias": [1.0] * count} for count in (5, 18, 25)),
        {"size": 24, "inner": 1, "repeat": 5},
        {"size": 24, "inner": 1, "repeat": 2**62 // 6 + 4},
    ],
    ids=str,
)
def test_a_damaged_norm_is_refused(changed: dict[str, Any]) -> None:
    program: Any = _C.Program(ISAS[0])
    slots = program.input(24), program.output(24)
    program.normalize(*slots, *GOOD.values(), NONE)
    with pytest.raises(ValueError, match=r".+"):
        program.normalize(*slots, *{**GOOD, **changed}.values(), NONE)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", _C.Reduction.__members__)
def test_reductions(name: str, shape: tuple[int, int, int], threads: int, isa: str) -> None:
    x = np.random.default_rng(0).normal(2, 1, (2, *shape)).astype(np.float32)
    outer, size, inner = shape
    program = _C.Program(isa)
    slots = program.input(x[0].size), program.output(outer * inner)
    program.reduce(*slots, _C.Reduction[name], size, inner)
    wide = x.astype(np.float64)
    wanted = {
        "mean": wide.mean(2),
        "variance": wide.var(2),
        "norm": (wide**2).sum(2) ** 0.5,
        "sum": wide.sum(2),
    }[name]
    found = _run(program, [x], outer * inner, threads).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=30 * EPSILON, atol=30 * EPSILON)


@pytest.mark.parametrize("shape", [(2, 9, 70), (70, 9, 1)], ids=str)
@pytest.mark.parametrize("name", _C.Reduction.__members__)
def test_reductions_of_nan_and_infinity(name: str, shape: tuple[int, int, int]) -> None:
    x = np.random.default_rng(0).normal(2, 1, (2, *shape)).astype(np.float32)
    x[0, 0, 3, 0], x[1, 1, 3, 0] = np.nan, -np.inf
    program = _C.Program(ISAS[-1])
    outer, size, inner = shape
    slots = program.input(x[0].size), program.output(outer * inner)
    program.reduce(*slots, _C.Reduction[name], size, inner)
    found = _run(program, [x], outer * inner).reshape(2, outer, inner)
    assert np.isnan(found[0, 0, 0])
    infinite = {"variance": np.nan, "norm": np.inf}.get(name, -np.inf)
    assert np.array_equal(found[1, 1, 0], infinite, equal_nan=True)
    assert np.isfinite(np.delete(found.reshape(-1), [0, outer * inner + inner])).all()


@pytest.mark.parametrize(("size", "inner"), [(0, 1), (5, 1), (24, 2), (2**40, 1), (4, -1), (4, 2)])
def test_a_reduction_along_an_axis_that_is_not_there_is_refused(size: int, inner: int) -> None:
    program = _C.Program(ISAS[0])
    slots = program.input(24), program.output(12)
    program.reduce(*slots, _C.Reduction.mean, 2, 1)
    with pytest.raises(ValueError, match=r".+"):
        program.reduce(*slots, _C.Reduction.mean, size, inner)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "size"), [(1, 1), (5, 37), (3, 4096), (2, 9001)])
def test_weighted_sums(rows: int, size: int, isa: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, rows, size)).astype(np.float32)
    factors = random.random((2, size), np.float32)
    program = _C.Program(isa)
    program.dot(program.input(rows * size), program.input(size), program.output(rows))
    wanted = np.einsum("brs,bs->br", x.astype(np.float64), factors)
    for threads in (1, 3):
        found = _run(program, [x, factors], rows, threads)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=4 * EPSILON * size**0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "shape", [(3, 50, 1), (1, 40000, 1), (1, 6, 37), (2, 3, 20000), (4, 5, 2)], ids=str
)
def test_operations_with_what_is_repeated(
    shape: tuple[int, int, int], threads: int, isa: str
) -> None:
    random = np.random.default_rng(0)
    outer, _, inner = shape
    x = random.normal(size=(2, *shape)).astype(np.float32)
    y = random.uniform(1, 2, (2, outer, 1, inner)).astype(np.float32)
    exact = {"difference": x - y, "product": x * y, "quotient": x / y, "sum": x + y}
    assert exact.keys() == _C.Operation.__members__.keys()
    for name, operation in _C.Operation.__members__.items():
        program = _C.Program(isa)
        slots = program.input(x[0].size), program.input(y[0].size), program.output(x[0].size)
        program.spread(*slots, operation, inner)
        found = _run(program, [x, y], x[0].size, threads).reshape(x.shape)
        np.testing.assert_allclose(found, exact[name], rtol=EPSILON)


def test_what_does_not_fit_is_refused() -> None:
    program = _C.Program(ISAS[0])
    x, small, y = program.input(24), program.input(6), program.output(24)
    slot, lone = program.arena_slot(0, 24), program.output(4)
    program.spread(x, small, y, _C.Operation.sum, 2)
    for inner in (0, -1, 4, 2**40):
        with pytest.raises(ValueError, match="`inner`"):
            program.spread(x, small, y, _C.Operation.sum, inner)
    with pytest.raises(ValueError, match="`inner`"):
        program.spread(small, x, program.output(6), _C.Operation.sum, 1)
    with pytest.raises(ValueError, match="floats per image"):
        program.spread(x, small, lone, _C.Operation.sum, 1)
    with pytest.raises(ValueError, match="shares memory"):
        program.spread(x, program.part(slot, 0, 6), slot, _C.Operation.sum, 1)
    program.dot(x, small, lone)
    with pytest.raises(ValueError, match="a row as long as"):
        program.dot(x, small, y)
    with pytest.raises(ValueError, match="a row as long as"):
        program.dot(small, x, lone)
    for step in ("normalize", "reduce"):
        rest = (6, 1, 1, 0.0, [], [], NONE) if step == "normalize" else (_C.Reduction.mean, 1, 1)
        with pytest.raises(ValueError, match="cannot be written to"):
            getattr(program, step)(slot, x, *rest)
    with pytest.raises(ValueError, match="shares memory"):
        program.reduce(slot, slot, _C.Reduction.mean, 1, 1)
