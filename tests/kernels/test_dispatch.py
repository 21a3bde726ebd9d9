"""The kernels as data: each has cases, names say every choice, and refusals say why."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases

from openwork.kernels import dispatch
from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import (
    FAMILIES,
    candidates,
    candidates_by_family,
    each_candidate,
    refusals,
    worth_measuring,
)
from openwork.kernels.problem import Geometry, Problem


def test_the_table_of_cases_has_each_family() -> None:
    seen = {name for case in cases.table() for name in candidates_by_family(case.problem())}
    assert seen == {family.name for family in FAMILIES}


def test_names_are_distinct_and_say_kernel_tile_and_instruction_set() -> None:
    problem = cases.Case(8, 8, (9, 9), (3, 3)).problem()
    names = [candidate.name for candidate in candidates(problem)]
    assert len(set(names)) == len(names) > 10
    pattern = r"(f32|bf16)-conv(3x3)?(s1)?-(spmm|winograd[24]|direct|taps)-[a-z0-9]+-[a-z0-9]+"
    assert [name for name in names if not re.fullmatch(pattern, name)] == []


def test_a_family_either_runs_or_says_why_not() -> None:
    for case in list(cases.table())[::11]:
        problem = case.problem()
        runs, refused = set(candidates_by_family(problem)), set(refusals(problem))
        assert not runs & refused
        assert runs | refused == {family.name for family in FAMILIES}


@pytest.mark.parametrize(
    ("case", "family", "reason"),
    [
        (cases.Case(4, 4, (9, 9), (5, 5)), "f32-conv3x3-winograd4", r"\(5, 5\), not \(3, 3\)"),
        (
            cases.Case(4, 4, (9, 9), (3, 3), stride=(2, 2)),
            "f32-conv3x3-winograd2",
            r"stride \(2, 2\) and dilation \(1, 1\) must be \(1, 1\)",
        ),
        (
            cases.Case(4, 4, (9, 9), (3, 3), dilation=(2, 2)),
            "f32-conv-direct",
            r"dilation is \(2, 2\)",
        ),
        (cases.Case(4, 4, (9, 9), groups=2), "f32-conv-dense", "2 groups"),
        (cases.Case(4, 4, (9, 9)), "f32-conv-dense", "some taps are dead"),
        (
            cases.Case(4, 4, (9, 9), pattern="dense"),
            "f32-conv-depthwise",
            "filter 0 reads several input channels",
        ),
    ],
    ids=str,
)
def test_why_a_family_is_refused(case: cases.Case, family: str, reason: str) -> None:
    assert re.search(reason, refusals(case.problem())[family])


def test_an_instruction_set_and_a_batch_can_be_asked_for() -> None:
    problem = cases.Case(16, 16, (4, 4), (1, 1), padding=(0, 0)).problem()
    assert problem.geometry == Geometry(16, 16, (4, 4), (1, 1))
    names = {candidate.name for candidate in candidates(problem, isa="baseline", batch=1)}
    assert names
    assert all(name.endswith("-baseline") for name in names)
    assert names < {candidate.name for candidate in candidates(problem, isa="baseline")}


@pytest.mark.parametrize(
    ("case", "families"),
    [
        (cases.Case(4, 8, (9, 9), groups=4, pattern="dense"), {"f32-conv-depthwise"}),
        (
            cases.Case(4, 8, (9, 9), (1, 1), padding=(0, 0), pattern="dense"),
            {"f32-conv-dense"},
        ),
    ],
    ids=str,
)
def test_families_that_never_win_are_not_measured(case: cases.Case, families: set[str]) -> None:
    problem = case.problem()
    assert worth_measuring(problem, "baseline", 1).keys() == families
    assert families < candidates_by_family(problem, "baseline", 1).keys()


def test_where_single_taps_are_dead_every_family_is_measured() -> None:
    problem = cases.Case(4, 8, (9, 9), groups=4, pattern="taps").problem()
    every = candidates_by_family(problem, "baseline", 1)
    measured = worth_measuring(problem, "baseline", 1)
    # Without its instructions nothing is gained by bfloat16.
    assert measured.keys() == every.keys() - {"bf16-conv-spmm"}


def test_families_are_computed_when_they_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
        pytest.fail("computed")

    last = replace(dispatch.PAIRS, candidates=unwanted)
    monkeypatch.setattr(dispatch, "FAMILIES", (*dispatch.FAMILIES[:-1], last))
    monkeypatch.setattr(dispatch, "PAIRS", last)
    problem = cases.Case(8, 8, (9, 9)).problem()
    first = next(each_candidate(problem, "baseline"))
    assert first.name.startswith("f32-conv-spmm-")
    assert worth_measuring(problem, "baseline", 1)
    with pytest.raises(pytest.fail.Exception, match="computed"):
        list(each_candidate(problem, "baseline"))
