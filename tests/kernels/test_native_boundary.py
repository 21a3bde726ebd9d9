"""Bad input is a Python error, never a crash; the environment variable is honoured or raises."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import itertools
import os
import subprocess
import sys
from contextlib import nullcontext
from typing import Any, cast

import kernel_cases as cases
import kernel_run as run
import numpy as np
import torch

from openwork.kernels.dispatch import Candidate, DirectTile, candidates, refusals
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.pack_rows import pack_direct, pack_taps
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Geometry, Problem

ISA = _C.usable_isas()[-1]
# Columns of a plain 1x1 convolution of 6 channels.
COLUMNS = np.arange(6, dtype=np.int32), np.zeros(6, np.uint16)


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
    out, inside, kernels = problem.connections()
    packed = pack_lists(9, 6, out, inside, kernels.T, 4, group)
    arrays = [a.copy() for a in packed.arrays()]
    arrays[array][at] = value
    with pytest.raises(ValueError, match="`"):
        _C.spmm(
            ISA,
            problem.geometry.numbers(),
            None,
            0,
            _C.Lists(*arrays),
            *COLUMNS,
            4,
            group,
            1,
            False,
        )


@pytest.mark.parametrize("array", range(6))
def test_short_lists(array: int) -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), padding=(0, 0)).problem()
    out, inside, kernels = problem.connections()
    arrays = list(pack_lists(9, 6, out, inside, kernels.T, 4, 2).arrays())
    arrays[array] = arrays[array][:-1].copy()
    with pytest.raises(ValueError, match="`"):
        _C.spmm(
            ISA, problem.geometry.numbers(), None, 0, _C.Lists(*arrays), *COLUMNS, 4, 2, 1, False
        )


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
    out, inside, kernels = problem.connections()
    lists = _C.Lists(*pack_lists(9, 6, out, inside, kernels.T, 4, 2).arrays())
    columns = np.array(channel, np.int32), np.array(tap, np.uint16)
    with pytest.raises(ValueError, match="`"):
        _C.spmm(ISA, problem.geometry.numbers(), None, 0, lists, *columns, 4, 2, 1, False)


def test_only_a_plain_convolution_is_read_in_place() -> None:
    problem = cases.Case(6, 9, (5, 5), (1, 1), (2, 2), padding=(0, 0)).problem()
    out, inside, kernels = problem.connections()
    lists = _C.Lists(*pack_lists(9, 6, out, inside, kernels.T, 4, 2).arrays())
    with pytest.raises(ValueError, match="plain"):
        _C.spmm(ISA, problem.geometry.numbers(), None, 0, lists, *COLUMNS, 4, 2, 1, True)


@pytest.mark.parametrize("value", [-1, 2**30])
def test_damaged_rows(value: int) -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    numbers = problem.geometry.numbers()
    for pack, build, extra in (
        (pack_direct, _C.direct, (4, 1)),
        (pack_taps, _C.taps, (4, 1, False)),
    ):
        for array in (0, 1):
            arrays = [a.copy() for a in pack(problem)]
            arrays[array][1] = value
            with pytest.raises(ValueError, match="`"):
                build(ISA, numbers, None, 0, *arrays, *extra)


@pytest.mark.parametrize("at", range(14))
def test_damaged_geometry(at: int) -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    numbers = problem.geometry.numbers()
    numbers[at] = -3
    with pytest.raises(ValueError, match="`"):
        _C.direct(ISA, numbers, None, 0, *pack_direct(problem), 4, 1)


def test_unknown_tile_or_isa() -> None:
    problem = cases.Case(6, 9, (5, 5)).problem()
    packed = pack_direct(problem)
    with pytest.raises(ValueError, match="tile"):
        _C.direct(ISA, problem.geometry.numbers(), None, 0, *packed, 99, 1)
    with pytest.raises(ValueError, match="'mmx' cannot run here"):
        _C.direct("mmx", problem.geometry.numbers(), None, 0, *packed, 4, 1)


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
        (Geometry(1, 1, (1, 1), (1, 1), padding=(0, 1 << 40)), "geometry"),
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
