"""What is computed from constants has a limit, which is kept before memory is taken."""

import pytest
import torch

from openwork.interchange.limited import Limited
from openwork.interchange.values import NotReadable


def test_small_ones_are_computed() -> None:
    with Limited():
        assert torch.arange(4).repeat(3).sum() == 18
        assert torch.nonzero(torch.tensor([0, 1])).tolist() == [[1]]


@pytest.mark.parametrize("size", [1 << 25, 1 << 50])
def test_large_ones_are_not(size: int) -> None:
    one = torch.ones(1)
    for compute in (
        lambda: torch.full((size,), 1.0),
        lambda: torch.arange(size),
        lambda: one.repeat(size),
        lambda: torch.nn.functional.pad(one, (0, size)),
        lambda: one.expand(size).clone(),
    ):
        with pytest.raises(NotReadable, match="numbers from constants alone"), Limited():
            compute()
