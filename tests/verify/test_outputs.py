"""`outputs`: a flat list, in evaluation mode, with the inputs unharmed."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.verify import outputs


class Nested(nn.Module):
    """Writes to its input, and gives a dictionary of a pair and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        x += 1
        return {"pair": (self.drop(x), x.sum()), "count": 3}


def test_results_are_in_order_and_inputs_are_kept() -> None:
    model, x = Nested().train(), torch.ones(2, 4, requires_grad=True)
    one, two, three = outputs(model, (x,))
    assert torch.equal(one, torch.full((2, 4), 2.0))
    assert (two, three) == (16, 3)
    assert not one.requires_grad
    assert x.sum() == 8
    assert model.training
    assert model.drop.training


def test_errors_of_the_network_are_its_own_and_modes_come_back() -> None:
    model = nn.Linear(3, 3).train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        outputs(model, (torch.ones(2, 4),))
    assert model.training
