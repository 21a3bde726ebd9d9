"""Convolutions of bytes: every instruction set gives the numbers of plain integer sums."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.narrow.pack_bytes import ByteProblem, pack_bytes
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry
from openwork.kernels.to_native import native_geometry

F = np.float32


def _floats(numbers: np.ndarray) -> np.ndarray:
    """Images of bytes as a program takes them."""
    flat = numbers.reshape(len(numbers), -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).view(F)


def _sums(p: ByteProblem, maps: np.ndarray) -> np.ndarray:
    g, (out, inside, *_) = p.geometry, p.weight.shape
    padding = ((0, 0), (0, 0), *((each, each) for each in g.padding))
    padded = np.pad(maps.astype(np.int64) - p.zero, padding)
    height, width = g.out_size
    sums = np.zeros((len(maps), out, height, width), np.int64)
    for y in range(g.kernel[0]):
        for x in range(g.kernel[1]):
            top, left = y * g.dilation[0], x * g.dilation[1]
            seen = padded[:, :, top:, left:][:, :, :: g.stride[0], :: g.stride[1]]
            seen = seen[:, :, :height, :width]
            for group in range(p.groups):
                filters = slice(group * out // p.groups, (group + 1) * out // p.groups)
                sums[:, filters] += np.einsum(
                    "oi,nihw->nohw",
                    p.weight[filters, :, y, x].astype(np.int64),
                    seen[:, group * inside : (group + 1) * inside],
                )
    return sums


def _reference(p: ByteProblem, maps: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
    value = _sums(p, maps).astype(np.int32).astype(F) * p.scale[:, None, None]
    value = value + p.bias[:, None, None]
    if residual is not None:
        other = (residual.astype(np.int32) - p.residual_zero).astype(F)
        value = value + other * F(p.residual_scale)
    if p.out_zero is None:
        return np.clip(value, F(p.least), F(p.most))
    bounded = np.clip(value, F(p.least - p.out_zero), F(p.most - p.out_zero))
    return (np.rint(bounded) + p.out_zero).astype(np.uint8)


def _run(
    p: ByteProblem, isa: str, maps: np.ndarray, residual: np.ndarray | None, threads: int
) -> np.ndarray:
    layer = pack_bytes(p, isa)
    assert layer.name == isa
    program = _C.Program(_C.chosen_isa())
    count = p.geometry.out_channels * int(np.prod(p.geometry.out_size))
    arrays = [_floats(maps)] + ([] if residual is None else [_floats(residual)])
    inputs = [program.input(array.shape[1]) for array in arrays]
    floats = count if p.out_zero is None else -(-count // 4)
    program.byte_layer(
        layer, inputs[0], program.output(floats), inputs[1] if residual is not None else None
    )
    output = np.zeros((len(maps), floats), F)
    program.run(
        arrays, [output], np.empty(program.arena(len(maps), threads), F), len(maps), threads
    )
    found = output if p.out_zero is None else output.view(np.uint8)[:, :count]
    return found.reshape(len(maps), p.geometry.out_channels, *p.geometry.out_size)


def _problem(
    rng: np.random.Generator, density: float = 1.0, rows: int = 1, **sizes: Any
) -> ByteProblem:
    groups = sizes.pop("groups", 1)
    geometry = Geometry(**sizes)
    out, inside = geometry.out_channels, geometry.in_channels // groups
    weight = rng.integers(-127, 128, (out, inside, *geometry.kernel)).astype(np.int8)
    live = np.repeat(rng.random((-(-out // rows), inside)) < density, rows, axis=0)[:out]
    weight *= live[:, :, None, None]
    scale = (rng.random(out) * 4e-3 / np.sqrt(inside)).astype(F)
    bias = rng.normal(size=out).astype(F) * F(20)
    return ByteProblem(
        geometry, groups, weight, int(rng.integers(256)), scale, bias, 3, 250, 100, 7, 0.5
    )


CASES: dict[str, dict[str, Any]] = {
    "plain": {"in_channels": 13, "out_channels": 9, "size": (9, 15), "kernel": (1, 1)},
    "full tiles": {"in_channels": 8, "out_channels": 5, "size": (16, 16), "kernel": (1, 1)},
    "linear": {"in_channels": 65, "out_channels": 10, "size": (1, 1), "kernel": (1, 1)},
    "3x3": {
        "in_channels": 6,
        "out_channels": 8,
        "size": (7, 7),
        "kernel": (3, 3),
        "padding": (1, 1),
    },
    "wide": {
        "in_channels": 3,
        "out_channels": 4,
        "size": (5, 70),
        "kernel": (3, 3),
        "padding": (1, 1),
    },
    "strided": {
        **{"in_channels": 5, "out_channels": 6, "size": (17, 23), "kernel": (3, 3)},
        **{"stride": (2, 2), "padding": (1, 1)},
    },
    "1x1 strided": {
        "in_channels": 5,
        "out_channels": 6,
        "size": (9, 8),
        "kernel": (1, 1),
        "stride": (2, 2),
    },
    "uneven": {
        **{"in_channels": 4, "out_channels": 3, "size": (20, 19), "kernel": (2, 5)},
        **{"stride": (3, 1), "padding": (0, 3), "dilation": (2, 3)},
    },
    "far padding": {
        **{"in_channels": 2, "out_channels": 3, "size": (2, 2), "kernel": (5, 5)},
        **{"stride": (1, 3), "padding": (4, 4)},
    },
    "depthwise": {
        **{"in_channels": 7, "out_channels": 7, "size": (14, 14), "kernel": (3, 3)},
        **{"padding": (1, 1), "groups": 7},
    },
    "groups": {"in_channels": 6, "out_channels": 4, "size": (6, 6), "kernel": (1, 1), "groups": 2},
    # Blocks of eight and of four filters, tiles of one to four vectors.
    "many filters": {
        **{"in_channels": 9, "out_channels": 83, "size": (10, 11), "kernel": (3, 3)},
        "padding": (1, 1),
    },
    "many plain filters": {
        **{"in_channels": 37, "out_channels": 70, "size": (9, 13), "kernel": (1, 1)},
    },
    # Of a map too large to be read twice.
    "large plain maps": {
        **{"in_channels": 21, "out_channels": 24, "size": (45, 46), "kernel": (1, 1)},
    },
    "groups of four": {
        **{"in_channels": 12, "out_channels": 12, "size": (11, 12), "kernel": (3, 3)},
        **{"padding": (1, 1), "groups": 3},
    },
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("density", "rows"), [(1.0, 1), (0.3, 1), (0.3, 8), (0.0, 1)])
def test_bytes_are_those_of_integer_sums(case: str, density: float, rows: int) -> None:
    rng = np.random.default_rng(len(case))
    problem = _problem(rng, density, rows, **CASES[case])
    g = problem.geometry
    maps = rng.integers(0, 256, (3, g.in_channels, *g.size)).astype(np.uint8)
    added = rng.integers(0, 256, (3, g.out_channels, *g.out_size)).astype(np.uint8)
    for residual in (None, added):
        wanted = _reference(problem, maps, residual)
        for isa in _C.byte_isas():
            for threads in (1, 3):
                assert np.array_equal(_run(problem, isa, maps, residual, threads), wanted), isa


@pytest.mark.parametrize("case", ["many filters", "many plain filters"])
@pytest.mark.parametrize(("density", "rows"), [(0.3, 1), (0.3, 8), (0.6, 8)])
def test_bytes_are_the_same_however_packed(
    case: str, density: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on processors that halve vectors, and on others."""
    rng = np.random.default_rng(len(case))
    problem = _problem(rng, density, rows, **CASES[case])
    g = problem.geometry
    maps = rng.integers(0, 256, (2, g.in_channels, *g.size)).astype(np.uint8)
    added = rng.integers(0, 256, (2, g.out_channels, *g.out_size)).astype(np.uint8)
    wanted = _reference(problem, maps, added)
    for halved in (True, False):
        monkeypatch.setattr(_C, "halves_vectors", lambda isa, halved=halved: halved)
        for isa in _C.byte_isas():
            assert np.array_equal(_run(problem, isa, maps, added, 1), wanted), (isa, halved)


DEPTHWISE: dict[str, dict[str, Any]] = {
    "3x3": {"size": (14, 14), "kernel": (3, 3), "padding": (1, 1)},
    "by 2": {"size": (15, 33), "kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)},
    "small": {"size": (7, 7), "kernel": (3, 3), "padding": (1, 1)},
    "5x5": {"size": (28, 70), "kernel": (5, 5), "padding": (2, 2)},
    "5x5 by 2": {"size": (28, 70), "kernel": (5, 5), "stride": (2, 2), "padding": (2, 2)},
    "rows by 2": {"size": (11, 9), "kernel": (3, 4), "stride": (2, 1), "padding": (1, 1)},
    "uneven": {
        **{"size": (9, 20), "kernel": (2, 7), "stride": (3, 1), "padding": (0, 3)},
        "dilation": (2, 1),
    },
    "one pixel": {"size": (1, 1), "kernel": (1, 1)},
    "far padding": {"size": (2, 2), "kernel": (3, 3), "padding": (4, 4), "stride": (1, 2)},
}


@pytest.mark.parametrize("case", DEPTHWISE)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_layers(case: str, multiplier: int) -> None:
    rng = np.random.default_rng(len(case))
    sizes = {"in_channels": 5, "out_channels": 5 * multiplier, "groups": 5, **DEPTHWISE[case]}
    problem = replace(_problem(rng, 0.8, **sizes), residual_scale=0.0)
    g = problem.geometry
    maps = rng.integers(0, 256, (3, g.in_channels, *g.size)).astype(np.uint8)
    wanted = _reference(problem, maps, None)
    for isa in _C.byte_isas():
        for threads in (1, 3):
            assert np.array_equal(_run(problem, isa, maps, None, threads), wanted), isa


@st.composite
def _any_problem(draw: st.DrawFn) -> ByteProblem:
    def number(most: int, least: int = 1) -> int:
        return draw(st.integers(least, most))

    kernel, dilation = (number(5), number(5)), (number(2), number(2))
    padding = number(3, 0), number(3, 0)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(max(number(20), need - 2 * pad) for need, pad in zip(reach, padding, strict=True))
    groups, inside, each = draw(st.sampled_from([(1, 9, 40), (3, 4, 9), (5, 1, 2)]))
    problem = _problem(
        np.random.default_rng(number(1 << 16)),
        draw(st.sampled_from([0.1, 0.5, 1.0])),
        draw(st.sampled_from([1, 4, 8, 16])),
        in_channels=groups * number(inside),
        out_channels=groups * number(each),
        size=size,
        kernel=kernel,
        stride=(number(3), number(3)),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    least = draw(st.sampled_from([0.0, 0.5, 3.2, 100.0]))
    most = draw(st.sampled_from([255.0, 254.5, 131.7, 100.0]))
    zero = draw(st.sampled_from([0, 7, 255]))
    # The largest sums are far beyond what bytes hold, at both ends.
    scale = problem.scale * F(draw(st.sampled_from([1e-3, 1.0, 1e6])))
    return replace(problem, least=least, most=most, out_zero=zero, scale=scale)


@settings(max_examples=60, deadline=None)
@given(_any_problem(), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_any_convolution(p: ByteProblem, images: int, threads: int, added: bool) -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (images, p.geometry.in_channels, *p.geometry.size), np.uint8)
    residual = None
    if added:
        shape = images, p.geometry.out_channels, *p.geometry.out_size
        residual = rng.integers(0, 256, shape, np.uint8)
    else:
        p = replace(p, residual_scale=0.0)
    wanted = _reference(p, maps, residual)
    for isa in _C.byte_isas():
        assert np.array_equal(_run(p, isa, maps, residual, threads), wanted), isa


@pytest.mark.parametrize("images", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("rows", [1, 8])
def test_linear_layers(images: int, rows: int) -> None:
    rng = np.random.default_rng(images)
    sizes = {"in_channels": 70, "out_channels": 150, "size": (1, 1), "kernel": (1, 1)}
    problem = _problem(rng, 0.4, rows, **sizes)
    maps = rng.integers(0, 256, (images, 70, 1, 1)).astype(np.uint8)
    added = rng.integers(0, 256, (images, 150, 1, 1)).astype(np.uint8)
    floats = replace(problem, least=0.0, most=1e9, out_zero=None)
    for each, residual in ((problem, None), (problem, added), (floats, None), (floats, added)):
        wanted = _reference(each, maps, residual)
        for isa in _C.byte_isas():
            for threads in (1, 3):
                assert np.array_equal(_run(each, isa, maps, residual, threads), wanted), isa


@pytest.mark.parametrize("isa", _C.byte_isas())
def test_floats_are_written_as_they_are(isa: str) -> None:
    rng = np.random.default_rng(0)
    problem = _problem(rng, **CASES["3x3"])
    problem = ByteProblem(
        problem.geometry, 1, problem.weight, 9, problem.scale, problem.bias, 0.0, np.inf, None
    )
    maps = rng.integers(0, 256, (2, 6, 7, 7)).astype(np.uint8)
    assert np.array_equal(_run(problem, isa, maps, None, 1), _reference(problem, maps, None))


@pytest.mark.parametrize("heaviest", [1, 20, 64, 65, 127])
@pytest.mark.parametrize("case", ["plain", "3x3", "many filters", "groups of four", "depthwise"])
def test_products_that_do_not_fit_16_bits_are_exact(case: str, heaviest: int) -> None:
    """Weights from those that always fit to those that never do, and the largest bytes."""
    rng = np.random.default_rng(heaviest)
    problem = replace(_problem(rng, **CASES[case]), residual_scale=0.0)
    signs = np.sign(problem.weight) * (rng.random(problem.weight.shape) < 0.9)
    light = rng.integers(0, heaviest + 1, signs.shape) * (rng.random(signs.shape) < 0.5)
    weight = np.where(light, light, heaviest) * np.abs(signs)
    # Filters of one sign have the largest sums.
    weight[::2] *= np.sign(rng.random(len(weight[::2])) - 0.5)[:, None, None, None].astype(int)
    weight[1::2] *= signs[1::2].astype(int)
    inputs = np.count_nonzero(weight[0])
    problem = replace(
        problem,
        weight=weight.astype(np.int8),
        scale=np.full(len(weight), 100 / (255 * heaviest * inputs), F),
    )
    if case != "depthwise":
        exact = {"scale": np.ones(len(weight), F), "bias": np.zeros(len(weight), F)}
        problem = replace(problem, **exact, out_zero=None, least=-np.inf, most=np.inf)
    g = problem.geometry
    maps = rng.integers(250, 256, (2, g.in_channels, *g.size)).astype(np.uint8)
    wanted = _reference(problem, maps, None)
    assert len(np.unique(wanted)) > 10
    for isa in _C.byte_isas():
        assert np.array_equal(_run(problem, isa, maps, None, 2), wanted), isa


@pytest.mark.parametrize("heaviest", [30, 127])
@pytest.mark.parametrize("case", ["plain", "3x3", "many plain filters"])
def test_fours_that_were_never_split_are_exact(
    case: str, heaviest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files hold them that were packed for VNNI: what does not fit 16 bits is widened."""
    monkeypatch.setattr(_C, "is_narrow", lambda isa: False)
    rng = np.random.default_rng(heaviest)
    problem = _problem(rng, **CASES[case])
    weight = np.sign(problem.weight) * rng.integers(
        heaviest // 2, heaviest + 1, problem.weight.shape
    )
    weight[::2] = abs(weight[::2])
    exact = {"scale": np.ones(len(weight), F), "bias": np.zeros(len(weight), F)}
    bounds = {"out_zero": None, "least": -np.inf, "most": np.inf, "residual_scale": 0.0}
    problem = replace(problem, weight=weight.astype(np.int8), **exact, **bounds)
    g = problem.geometry
    maps = rng.integers(250, 256, (2, g.in_channels, *g.size)).astype(np.uint8)
    wanted = _reference(problem, maps, None)
    for isa in _C.byte_isas():
        assert np.array_equal(_run(problem, isa, maps, None, 1), wanted), isa


@pytest.mark.parametrize("isa", _C.byte_isas())
def test_a_rest_is_added(isa: str) -> None:
    """As AVX2 has it, on all: files that were packed for it run on newer processors."""
    rng = np.random.default_rng(0)
    for rows in (1, 2, 4, 8):
        weight, rest = rng.integers(-64, 65, (2, rows, 8, 4)).astype(np.int8)
        quad = rng.integers(0, 8, (8, rows)).astype(np.uint16)
        total = np.zeros((rows, 8, 4), np.int64) + weight
        for four in range(8):
            for row in range(rows):
                total[row, quad[four, row]] += rest[row, four]
        geometry = Geometry(in_channels=32, out_channels=rows, size=(5, 7), kernel=(1, 1))
        one, int64 = np.ones(rows, F), np.int64
        packed = _C.ByteArrays(
            np.arange(32, dtype=np.int32),
            np.zeros(32, np.uint16),
            np.array([0, 32], int64),
            np.arange(32, dtype=np.int32),
            np.array([0, 1], int64),
            np.arange(rows, dtype=np.int32),
            np.array([0, 8], int64),
            np.arange(8, dtype=np.uint16),
            np.ascontiguousarray(weight.swapaxes(0, 1)).reshape(-1),
            np.array([0, 8], int64),
            quad.reshape(-1),
            np.ascontiguousarray(rest.swapaxes(0, 1)).reshape(-1),
            np.zeros(rows, np.int32),
            one,
            0 * one,
        )
        layer = _C.byte_conv(
            isa,
            native_geometry(geometry),
            packed,
            **{"plain": True, "depthwise": False, "rows": rows, "zero": 0, "to_float": True},
            **{"least": -np.inf, "most": np.inf, "out_zero": 0},
            **{"residual_zero": 0, "residual_scale": 0.0},
        )
        maps = rng.integers(0, 256, (1, 32, 5, 7)).astype(np.uint8)
        program = _C.Program(_C.chosen_isa())
        slots = program.input(32 * 35 // 4), program.output(rows * 35)
        program.byte_layer(layer, *slots)
        output = np.zeros((1, rows * 35), F)
        program.run([_floats(maps)], [output], np.empty(program.arena(1, 1), F), 1, 1)
        wanted = total.reshape(rows, 32) @ maps.reshape(32, 35).astype(int64)
        np.testing.assert_array_equal(output.reshape(rows, 35), wanted.astype(F))


@pytest.mark.parametrize("isa", _C.byte_isas())
def test_the_largest_sums_do_not_saturate(isa: str) -> None:
    geometry = Geometry(in_channels=512, out_channels=2, size=(4, 4), kernel=(1, 1))
    weight = np.full((2, 512, 1, 1), 127, np.int8) * np.array([1, -1], np.int8)[:, None, None, None]
    one = np.ones(2, F)
    problem = ByteProblem(geometry, 1, weight, 0, one, 0 * one, -np.inf, np.inf, None)
    found = _run(problem, isa, np.full((1, 512, 4, 4), 255, np.uint8), None, 1)
    assert (found[0, 0] == 512 * 127 * 255).all()
    assert (found[0, 1] == -512 * 127 * 255).all()


def test_a_column_beyond_the_layer_is_refused() -> None:
    problem = _problem(np.random.default_rng(0), **CASES["plain"])
    with pytest.raises(ValueError, match="`zero`=256 must"):
        pack_bytes(
            ByteProblem(
                problem.geometry, 1, problem.weight, 256, problem.scale, problem.bias, 0, 255, 0
            ),
            _C.byte_isas()[0],
        )


def _layer(**changes: Any) -> None:
    """Four filters of four channels, 1x1 at 2x2, with some arrays or numbers replaced."""
    int32, int64 = np.int32, np.int64
    arrays: dict[str, Any] = {
        **{"channel": np.arange(4, dtype=int32), "tap": np.zeros(4, np.uint16)},
        **{"group_column": np.array([0, 4], int64), "column": np.arange(4, dtype=int32)},
        **{"group_block": np.array([0, 1], int64), "filter": np.arange(4, dtype=int32)},
        **{"quad_start": np.array([0, 1], int64), "quad": np.zeros(1, np.uint16)},
        **{"weight": np.ones(16, np.int8), "rest_start": np.zeros(2, int64)},
        **{"rest_quad": np.zeros(0, np.uint16), "rest_weight": np.zeros(0, np.int8)},
        **{"offset": np.zeros(4, int32)},
        **{"scale": np.ones(4, F), "bias": np.zeros(4, F)},
    }
    numbers: dict[str, Any] = {
        **{"plain": True, "depthwise": False, "rows": 4, "zero": 0, "to_float": False},
        **{"least": 0.0, "most": 255.0, "out_zero": 0, "residual_zero": 0, "residual_scale": 0.0},
    }
    for name, value in changes.items():
        held = arrays if name in arrays else numbers
        held[name] = np.array(value, arrays[name].dtype) if name in arrays else value
    geometry = Geometry(in_channels=4, out_channels=4, size=(2, 2), kernel=(1, 1))
    packed = _C.ByteArrays(*arrays.values())
    _C.byte_conv(_C.byte_isas()[-1], native_geometry(geometry), packed, **numbers)


_REST = {"rest_start": [0, 1], "rest_quad": [0] * 4, "rest_weight": [-128, 0, 64, 64] * 4}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"rows": 3, "filter": [0, 1, 2]}, "`rows`=3 must be 1, 2, 4, 8"),
        ({"rows": 16, "filter": [*range(4), *[-1] * 12]}, "`rows`=16 must"),
        ({"channel": [0, 1, 2, 4]}, "channel"),
        ({"channel": [0, 1, 2, 2]}, "columns of a plain layer"),
        ({"tap": [0, 0, 0, 1]}, "tap"),
        ({"column": [0, 1, 2, -1]}, "column"),
        ({"column": [0, 1, 2], "group_column": [0, 3]}, "fours"),
        ({"group_column": [0, 5]}, "group_column"),
        ({"group_block": [0, 2]}, "group_block"),
        ({"quad_start": [1, 1]}, "quad_start"),
        ({"quad": [1]}, "quad"),
        ({"weight": [1] * 15}, "`weight` must have 16"),
        ({"filter": [0, 1, 2, 4]}, "filter"),
        ({"filter": [0, 1, 2, 2]}, "filter 2 is in two blocks"),
        ({"filter": [0, 1, 2, -1]}, "each filter"),
        ({"offset": [0]}, "offset"),
        ({"scale": [1, 1, 1, np.inf]}, "`scale` must be finite"),
        ({"bias": [np.nan] * 4}, "`bias` must be finite"),
        ({"zero": -1}, "`zero`=-1"),
        ({"out_zero": 256}, "out_zero"),
        ({"least": -1.0}, "within a byte"),
        ({"most": 255.5}, "within a byte"),
        ({"least": 2.0, "most": 1.0}, "`least`"),
        ({"depthwise": True, "plain": False, "to_float": True}, "a depthwise layer"),
        ({"rest_start": [0, 1]}, "`rest_start` must reach from 0 to 0"),
        ({"rest_start": [0]}, "`rest_start` has 1 entries, but needs 2"),
        ({**_REST, "rest_quad": [0, 0, 0, 1]}, "`rest_quad`=1 must lie"),
        ({**_REST, "rest_quad": [0, 0, 0]}, "`rest_quad` must have 4 numbers for each entry"),
        ({**_REST, "rest_weight": [1] * 15}, "`rest_weight` four times"),
        ({**_REST, "rest_weight": [0] * 14 + [127, 2]}, "`rest_weight` must fit 16 bits"),
        ({**_REST, "rest_weight": [-64, -65] + [0] * 14}, "`rest_weight` must fit 16 bits"),
    ],
)
def test_bad_plans_are_refused(changes: dict[str, Any], rule: str) -> None:
    _layer()
    _layer(**_REST)
    with pytest.raises(ValueError, match=rule):
        _layer(**changes)
