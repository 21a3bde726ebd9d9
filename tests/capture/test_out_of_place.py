"""Operators that give in a new tensor what in-place ones write."""

from typing import Any

import pytest
import torch

from openwork.capture.out_of_place import out_of_place, writes

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (aten.relu_.default, aten.relu.default),
        (aten.add_.Tensor, aten.add.Tensor),
        (aten.hardtanh_.default, aten.hardtanh.default),
        # The overloads of these have other names.
        (aten.pow_.Scalar, aten.pow.Tensor_Scalar),
        (aten.pow_.Tensor, aten.pow.Tensor_Tensor),
    ],
)
def test_in_place_operators_have_another_of_the_same_arguments(target: Any, expected: Any) -> None:
    assert writes(target)
    assert out_of_place(target) is expected
    assert not writes(expected)


@pytest.mark.parametrize("target", [aten.relu.default, aten.add.Tensor, torch.relu, len])
def test_what_writes_to_nothing_is_its_own(target: Any) -> None:
    assert not writes(target)
    assert out_of_place(target) is target


@pytest.mark.parametrize("target", [aten.normal_.default, aten.dropout_.default, aten.add.out])
def test_random_numbers_and_outputs_given_as_arguments_have_none(target: Any) -> None:
    assert writes(target)
    assert out_of_place(target) is None


def test_both_give_the_same_numbers() -> None:
    x, y = torch.rand(3, 4) + 1, torch.rand(3, 4)
    for target in (aten.pow_.Tensor, aten.add_.Tensor, aten.mul_.Tensor, aten.float_power_.Tensor):
        new = out_of_place(target)
        assert new is not None
        start = x.double()
        found = new(start, y)
        assert torch.equal(start, x.double())
        torch.testing.assert_close(found, target(start.clone(), y))
