"""`difference`: relative to the largest number, infinite for other shapes, dtypes and kinds."""

import pytest
import torch

from openwork.verify import difference
from openwork.verify.difference import largest_difference


@pytest.mark.parametrize(
    ("expected", "found", "apart"),
    [
        (torch.tensor([1.0, -4.0]), torch.tensor([1.0, -3.0]), 0.25),
        (torch.tensor([torch.nan]), torch.tensor([torch.nan]), 0.0),
        (torch.tensor([torch.nan]), torch.tensor([1.0]), float("inf")),
        (torch.tensor([torch.inf, 1.0]), torch.tensor([torch.inf, 1.5]), 0.5),
        (torch.zeros(2), torch.zeros(3), float("inf")),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), float("inf")),
        (torch.empty(0), torch.empty(0), 0.0),
        (torch.tensor([3 + 4j]), torch.tensor([3 + 2j]).conj().resolve_conj().conj(), 0.5),
        (3, 3, 0.0),
        (3, 3.0, float("inf")),
    ],
    ids=range(10),
)
def test_relative_to_the_largest(expected: object, found: object, apart: float) -> None:
    assert difference(expected, found) == apart


def test_the_largest_of_several_results() -> None:
    expected = [torch.tensor([100.0, 50.0]), torch.tensor([1.0, -2.0]), "label"]
    found = [torch.tensor([99.0, 50.0]), torch.tensor([1.0, -1.5]), "label"]
    assert largest_difference(expected, found) == (1, 0.25)
    assert largest_difference(expected, expected) == (0, 0)
    assert largest_difference(expected, found[:2]) == (float("inf"), float("inf"))
    assert largest_difference(expected, [*found[:2], "other"]) == (float("inf"), float("inf"))
