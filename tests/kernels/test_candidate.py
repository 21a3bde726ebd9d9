"""A candidate is a name and what packs a layer for it; a family refuses or lists candidates."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import dataclasses

import kernel_cases as cases

from openwork.kernels.dispatch import FAMILIES
from openwork.kernels.native import extension as _C


def test_candidates_of_a_family_begin_with_its_type_and_end_with_an_instruction_set() -> None:
    isa = _C.usable_isas()[0]
    for case in list(cases.table())[::29]:
        problem = case.problem()
        for family in FAMILIES:
            if family.refusal(problem) is not None:
                continue
            for each in family.candidates(problem, isa, 1):
                assert each.name.partition("-")[0] == family.name.partition("-")[0]
                assert each.name.endswith(f"-{isa}")
                assert each.build(problem).workspace(1, 1) >= 0
                with pytest.raises(dataclasses.FrozenInstanceError):
                    each.name = "other"  # type: ignore[misc]
