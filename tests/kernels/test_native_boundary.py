"""Bad input is a Python error, never a crash; the environment variable is honoured or raises."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import itertools
import os
import subprocess
import sys
from contextlib import nullcontext
from typing import Any, cast, get_args

import kernel_cases as cases
import kernel_run as run
import numpy as np
import torch

from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import DirectTile, candidates, refusals
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_dense import pack_dense
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.pack_rows import pack_depthwise, pack_direct, pack_taps
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Activation, Geometry, Problem
from openwork.kernels.to_native import native_geometry

ISA = _C.usable_isas()[-1]
NONE = _C.Activation.none
# Columns of a plain 1x1 convolution of 6 channels.
COLUMNS = np.arange(6, dtype=np.int32), np.zeros(6, np.uint16)


GEOMETRY = {
    "in_channels": 6,
    "out_channels": 9,
    "height": 5,
    "width": 5,
    "kernel_y": 3,
    "kernel_x": 3,
    "stride_y": 1,
    "stride_x": 1,
    "pad_y": 1,
    "pad_x": 1,
    "dilation_y": 1,
    "dilation_x": 1,
    "out_height": 5,
    "out_width": 5,
}


def _lists(problem: Problem, chunk: int = 4, group: int = 2) -> list[np.ndarray]:
    """Arrays 1 to 6 of a 1x1 convolution."""
    out, inside, kernels = problem.connections()
    geometry = problem.geometry
    sizes = geometry.out_channels, geometry.in_channels
    packed = pack_lists(*sizes, out, inside, chunk, group)
    return [*packed.indices(), kernels[packed.order, 0]]


def _spmm(problem: Problem, lists: Any, columns: tuple = COLUMNS, in_place: bool = False) -> None:
    geometry = native_geometry(problem.geometry)
    tile = {"chunk": 4, "group": 2, "vectors": 1, "in_place": in_place}
    _C.spmm(ISA, geometry, None, NONE, lists, *columns, **tile)


def plan_of(case: cases.Case) -> Packed:
    problem = case.problem()
    return Packed(problem, candidates(problem)[0])


def arguments(plan: Packed, batch: int = 2) -> dict[str, Any]:
    g = plan.problem.geometry
    return {
        "input": torch.zeros(batch, g.in_channels, *g.size),
        "output": torch.zeros(batch, g.out_channels, *g.out_size),
        "workspace": torch.zeros(plan.workspace(batch, 1)),
    }


@pytest.mark.parametrize(
    ("name", "spoil", "error"),
    [
        ("input", lambda t: t.double(), TypeError),
        ("input", lambda t: t.to(torch.bfloat16), TypeError),
        ("input", lambda t: t.to(memory_format=torch.channels_last), TypeError),
        ("input", lambda t: t[0], TypeError),
        ("input", lambda t: t[:, 1:].contiguous(), ValueError),
        ("input", lambda t: t[..., 1:].contiguous(), ValueError),
        ("output", lambda t: t[:1].contiguous(), ValueError),
        ("output", lambda t: t[..., 1:].contiguous(), ValueError),
        ("workspace", lambda t: t[1:], ValueError),
        ("residual", lambda _: torch.zeros(1, 1, 1, 1), ValueError),
        ("threads", lambda _: 0, ValueError),
    ],
)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (4, 4)])
def test_bad_tensor(kernel, name, spoil, error) -> None:
    plan = plan_of(cases.Case(3, 5, (9, 8), kernel, padding=(0, 0)))
    good = arguments(plan)
    with pytest.raises(error):
        plan.run(**(good | {name: spoil(good.get(name))}))


def test_empty_batch() -> None:
    plan = plan_of(cases.Case(3, 5, (9, 8)))
    with pytest.raises(ValueError, match="batch"):
        plan.workspace(0, 1)


@pytest.mark.parametrize(
    ("array", "at", "value"),
    [(0, 0, 99), (0, 0, -2), (1, 0, 60000), (2, 1, 5), (3, 1, 10**12), (4, 0, 50)],
)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_damaged_lists(group: int, array: int, at: int, value: int) -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), padding=(0, 0)).problem()
    arrays = _lists(problem, group=group)
    arrays[array][at] = value
    with pytest.raises(ValueError, match="`"):
        _C.spmm(
            ISA,
            native_geometry(problem.geometry),
            None,
            NONE,
            _C.Lists(*arrays),
            *COLUMNS,
            chunk=4,
            group=group,
            vectors=1,
            in_place=False,
        )


@pytest.mark.parametrize("array", range(6))
def test_short_lists(array: int) -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), padding=(0, 0)).problem()
    arrays = _lists(problem)
    arrays[array] = arrays[array][:-1].copy()
    with pytest.raises(ValueError, match="`"):
        _spmm(problem, _C.Lists(*arrays))


@pytest.mark.parametrize(
    ("channel", "tap"),
    [
        ([0, 1, 2, 3, 4, 6], [0] * 6),
        ([0, 1, 2, 3, 4, -1], [0] * 6),
        ([0, 1, 2, 3, 5, 4], [0] * 6),
        ([0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 1]),
        ([0, 1, 2, 3, 4], [0] * 5),
        ([0, 1, 2, 3, 4, 5], [0] * 5),
    ],
)
def test_damaged_columns(channel: list[int], tap: list[int]) -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), padding=(0, 0)).problem()
    lists = _C.Lists(*_lists(problem))
    columns = np.array(channel, np.int32), np.array(tap, np.uint16)
    with pytest.raises(ValueError, match="`"):
        _spmm(problem, lists, columns)


def test_only_a_plain_convolution_is_read_in_place() -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), (2, 2), padding=(0, 0)).problem()
    lists = _C.Lists(*_lists(problem))
    with pytest.raises(ValueError, match="plain"):
        _spmm(problem, lists, in_place=True)


@pytest.mark.parametrize("value", [-1, 2**30])
def test_damaged_rows(value: int) -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    geometry = native_geometry(problem.geometry)
    for pack, build, extra in (
        (pack_direct, _C.direct, {}),
        (pack_taps, _C.taps, {"flat": False}),
    ):
        for array in (0, 1):
            arrays = [a.copy() for a in pack(problem)]
            arrays[array][1] = value
            with pytest.raises(ValueError, match="`"):
                build(ISA, geometry, None, NONE, *arrays, rows=4, vectors=1, **extra)


# Also numbers whose products or sums would overflow, or that would divide by zero.
WRONG = (-3, 0, 2**31 - 1, 2**31, 2**40, -(2**63), 2**63 - 1)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", GEOMETRY)
def test_damaged_geometry(name: str, value: int) -> None:
    if name.startswith("pad") and value == 0:
        value = -1
    with pytest.raises(ValueError, match="`"):
        _C.Geometry(**{**GEOMETRY, name: value})


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_geometry_takes_whole_numbers_by_name(name: str) -> None:
    geometry = _C.Geometry(**GEOMETRY)
    assert getattr(geometry, name) == GEOMETRY[name]
    with pytest.raises(AttributeError):
        setattr(geometry, name, 1)
    for value in (2**63, 2.5, None, "3"):
        with pytest.raises(TypeError):
            _C.Geometry(**{**GEOMETRY, name: value})
    with pytest.raises(TypeError):
        _C.Geometry(**{key: value for key, value in GEOMETRY.items() if key != name})
    with pytest.raises(TypeError):
        cast(Any, _C.Geometry)(*GEOMETRY.values())


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ["chunk", "group", "vectors", "output"])
def test_damaged_tiles(name: str, value: int) -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    lists = _C.Lists(*(np.zeros(0, array.dtype) for array in _lists(problem)))
    common = ISA, native_geometry(problem.geometry), None, NONE, lists
    tile = {"chunk": 4, "group": 2, "vectors": 1}
    refused = ValueError if -(2**31) <= value < 2**31 else TypeError
    with pytest.raises(refused, match="`" if refused is ValueError else "incompatible"):
        _C.winograd(*common, **{**tile, "output": 4, name: value})
    # -2 outputs a side would be a tile of no positions.
    with pytest.raises(ValueError, match="`output`=-2"):
        _C.winograd(*common, **tile, output=-2)
    if name != "output":
        with pytest.raises(refused, match="`" if refused is ValueError else "incompatible"):
            _C.spmm(*common, *COLUMNS, in_place=False, **{**tile, name: value})


def test_a_matrix_without_columns_is_refused() -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), padding=(0, 0)).problem()
    none = np.zeros(0, np.int32), np.zeros(0, np.uint16)
    with pytest.raises(ValueError, match=r"`len\(channel\)`=0"):
        _spmm(problem, _C.Lists(*_lists(problem)), none)


@pytest.mark.parametrize("value", WRONG)
def test_damaged_rows_and_vectors(value: int) -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    geometry = native_geometry(problem.geometry)
    for name in ("rows", "vectors"):
        tile = {"rows": 4, "vectors": 1, name: value}
        with pytest.raises((ValueError, TypeError)):
            _C.direct(ISA, geometry, None, NONE, *pack_direct(problem), **tile)
        with pytest.raises((ValueError, TypeError)):
            _C.taps(ISA, geometry, None, NONE, *pack_taps(problem), **tile, flat=False)


@pytest.mark.parametrize("value", WRONG)
def test_damaged_dense_tiles(value: int) -> None:
    problem = cases.Case(6, 9, (5, 5), pattern="dense").problem()
    geometry = native_geometry(problem.geometry)
    (group, vectors), *_ = _C.dense_tiles(ISA)
    for name in ("group", "vectors"):
        tile = {"group": group, "vectors": vectors, name: value}
        with pytest.raises((ValueError, TypeError)):
            _C.dense(ISA, geometry, None, NONE, *pack_dense(problem, group), **tile, in_place=False)


def test_damaged_dense_arrays() -> None:
    problem = cases.Case(6, 9, (5, 5), pattern="dense").problem()
    geometry = native_geometry(problem.geometry)
    (group, vectors), *_ = _C.dense_tiles(ISA)
    channel, tap, weight = pack_dense(problem, group)
    tile = {"group": group, "vectors": vectors}
    for wrong, match in (
        ((channel, tap, weight[1:]), "weight"),
        ((channel, tap[1:], weight), "tap"),
        ((channel + 1, tap, weight), "`channel`=6"),
        ((channel, tap + 1, weight), "`tap`=9"),
        ((channel[:0], tap[:0], weight), "channel"),
    ):
        with pytest.raises(ValueError, match=match):
            _C.dense(ISA, geometry, None, NONE, *wrong, **tile, in_place=False)
    with pytest.raises(ValueError, match="`in_place` needs a plain 1x1"):
        _C.dense(ISA, geometry, None, NONE, channel, tap, weight, **tile, in_place=True)


def test_damaged_depthwise_arrays() -> None:
    problem = cases.Case(4, 8, (5, 5), groups=4, pattern="dense").problem()
    geometry = native_geometry(problem.geometry)
    channel, start, tap, weight = pack_depthwise(problem)
    for wrong, match in (
        ((channel + 1, start, tap, weight), "`channel`=4"),
        ((channel[1:], start, tap, weight), "channel"),
        ((channel, start[1:], tap, weight), "start"),
        ((channel, start + 1, tap, weight), "`start` must run from 0"),
        ((channel, start, tap + 1, weight), "`tap`=9"),
        ((channel, start, tap * 0, weight), "`tap`=0"),
        ((channel, start, tap, weight[1:]), "weight"),
    ):
        with pytest.raises(ValueError, match=match):
            _C.depthwise(ISA, geometry, None, NONE, *wrong)


@pytest.mark.parametrize("value", WRONG)
def test_damaged_calls(value: int) -> None:
    layer = candidates(cases.Case(6, 9, (5, 5)).problem())[0]
    built = layer.build(cases.Case(6, 9, (5, 5)).problem())
    for call in ((value, 1), (1, value)):
        with pytest.raises((ValueError, TypeError)):
            built.workspace(*call)
    with pytest.raises((ValueError, TypeError)):
        _C.most_vectors(ISA, value)


def test_the_names_of_activations_are_the_extensions() -> None:
    assert [activation.name for activation in _C.Activation] == list(get_args(Activation))


def test_an_activation_is_none_but_those() -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    geometry = native_geometry(problem.geometry)
    with pytest.raises(ValueError, match="7 is not a valid"):
        _C.Activation(7)
    wrong: list[Any] = [0, "relu", None]
    for activation in wrong:
        with pytest.raises(TypeError):
            _C.direct(ISA, geometry, None, activation, *pack_direct(problem), rows=4, vectors=1)


def test_unknown_tile_or_isa() -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    common = native_geometry(problem.geometry), None, NONE, *pack_direct(problem)
    with pytest.raises(ValueError, match="tile"):
        _C.direct(ISA, *common, rows=99, vectors=1)
    with pytest.raises(ValueError, match="'mmx' cannot run here"):
        _C.direct("mmx", *common, rows=4, vectors=1)


def test_bad_problem() -> None:
    geometry = Geometry(4, 4, (5, 5), (3, 3))
    with pytest.raises(ValueError, match="positions"):
        Problem(geometry, 1, np.array([4 * 4 * 9]), np.ones(1, dtype=np.float32))
    with pytest.raises(ValueError, match="weight"):
        Problem(geometry, 1, np.array([0]), np.ones(1))
    with pytest.raises(ValueError, match="groups"):
        Problem(geometry, 3, np.array([0]), np.ones(1, dtype=np.float32))
    with pytest.raises(ValueError, match="activation"):
        Problem(geometry, 1, np.array([0]), np.ones(1, dtype=np.float32), None, cast(Any, "tanh"))


def test_refusals_say_why() -> None:
    reasons = refusals(cases.Case(3, 3, (9, 9), stride=(2, 2), pattern="taps").problem())
    assert "stride (2, 2)" in reasons["f32-conv3x3-winograd4"]
    assert "no template" in reasons["f32-conv-direct"]
    dead = refusals(cases.Case(3, 3, (9, 9), pattern="taps").problem())
    assert "dead taps" in dead["f32-conv-direct"]
    assert not {"f32-conv-spmm", "f32-conv-taps"} & set(reasons)
    huge = refusals(cases.Case(1, 1, (50, 50), (33, 32)).problem())
    assert "1056 taps" in huge["f32-conv-spmm"]


@pytest.mark.parametrize(
    ("geometry", "name"),
    [
        (Geometry(1, 1, (1, 1025), (1, 1025)), "kernel_x"),
        (Geometry(1, 1, (1, 1), (1, 1), stride=(1025, 1)), "stride_y"),
        (Geometry(1, 1, (1, 1), (1, 1), padding=(0, 1 << 40)), "pad_x"),
        (Geometry((1 << 20) + 1, 1, (1, 1), (1, 1)), "in_channels"),
    ],
)
def test_no_kernel_beyond_the_bounds(geometry: Geometry, name: str) -> None:
    problem = Problem(geometry, 1, np.array([0]), np.ones(1, dtype=np.float32))
    assert candidates(problem) == []
    assert all(f"`{name}`" in reason for reason in refusals(problem).values())


@pytest.mark.parametrize("kernel", [*itertools.product(range(1, 8), repeat=2)], ids=str)
def test_templates_are_those_that_are_compiled(kernel: tuple[int, int]) -> None:
    problem = cases.Case(1, 1, (7, 7), kernel, padding=(0, 0)).problem()
    known = "f32-conv-direct" not in refusals(problem)
    with nullcontext() if known else pytest.raises(ValueError, match="no template"):
        DirectTile(ISA, *_C.row_tiles(ISA)[0])(problem)


def chosen(value: str) -> subprocess.CompletedProcess[str]:
    code = "from openwork.kernels.native import extension as k; print(k.chosen_isa())"
    environment = os.environ | {"OPENWORK_ISA": value}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("isa", _C.usable_isas())
def test_variable_is_honoured(isa: str) -> None:
    assert chosen(isa).stdout.strip() == isa


def test_an_empty_variable_is_none() -> None:
    assert chosen("").stdout.strip() == _C.usable_isas()[-1]


@pytest.mark.parametrize("value", ["mmx", "AVX512"])
def test_variable_that_cannot_be_honoured_raises(value: str) -> None:
    result = chosen(value)
    assert result.returncode != 0
    assert "OPENWORK_ISA" in result.stderr


def test_one_openmp_library() -> None:
    plan = plan_of(cases.Case(3, 5, (9, 8)))
    run.output_of(plan, np.zeros((1, 3, 9, 8), dtype=np.float32), None, threads=2)
    with open("/proc/self/maps") as maps:
        libraries = {line.split()[-1] for line in maps if "libgomp" in line}
    assert len(libraries) == 1, libraries


def test_names_are_unique() -> None:
    for case in (
        cases.Case(64, 64, (28, 28)),
        cases.Case(64, 64, (28, 28), (1, 1), padding=(0, 0)),
    ):
        names = [candidate.name for candidate in candidates(case.problem())]
        assert len(set(names)) == len(names)
        assert all(isinstance(candidate, Candidate) for candidate in candidates(case.problem()))
