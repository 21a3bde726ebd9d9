"""`dead_branches`: which residual branches add nothing."""

import pytest
import torch
import torch.nn.functional as F
from parts import known
from torch import nn

from openwork.capture import capture
from openwork.compact.branches import dead_branches
from openwork.flow.analysis import analyse


class Residual(nn.Module):
    """`x` and two layers of it; `how` says what else uses the branch."""

    def __init__(self, how: str = "") -> None:
        super().__init__()
        self.how = how
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.one, self.two = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        nn.init.zeros_(self.two.weight)
        nn.init.zeros_(known(self.two.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        inner = F.relu(self.one(x))
        y = self.two(inner)
        if self.how == "read":
            return self.head(x + y) + inner.mean()
        if self.how == "subtracted":
            return self.head(x - y)
        if self.how == "used twice":
            return self.head(x + y) + self.one(x).mean()
        return self.head(x + y)


def _found(model: nn.Module) -> set[str]:
    return set(
        dead_branches(analyse(capture(model.eval(), (torch.rand(2, 3, 6, 6),)), model), model)
    )


@pytest.mark.parametrize(
    ("how", "layers"),
    [
        ("", {"one", "two"}),
        # The second layer alone does not have inputs of the shape of its outputs.
        ("read", set()),
        ("subtracted", set()),
        ("used twice", set()),
    ],
)
def test_layers_of_a_zero_branch(how: str, layers: set[str]) -> None:
    assert _found(Residual(how)) == layers


@torch.no_grad()
def test_a_branch_with_one_live_channel_adds_something() -> None:
    model = Residual()
    model.two.weight[2] = 1
    assert _found(model) == set()
    # Unless nothing reads that channel of the sum.
    model.head.weight[:, 2] = 0
    assert _found(model) == {"one", "two"}


@torch.no_grad()
def test_a_constant_branch_adds_something() -> None:
    model = Residual()
    known(model.two.bias)[:] = 0.5
    assert _found(model) == set()
