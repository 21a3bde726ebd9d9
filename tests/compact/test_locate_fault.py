"""`locate_fault`: the channels around the module that fails, and no others."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import known
from torch import nn

from openwork.capture import capture
from openwork.compact.locate_fault import locate_fault, module_of
from openwork.compact.select import Selection
from openwork.compact.surgery import cut_
from openwork.flow.analysis import Analysis, analyse

INPUTS = (torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)),)


class Part(nn.Module):
    """Two convolutions with dead channels between them, and code that relies on their number."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.wide, self.narrow = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)
        with torch.no_grad():
            self.wide.weight[:3], known(self.wide.bias)[:3] = 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.wide(x))
        if self.how == "error" or (self.how == "training" and self.training):
            x = x.view(len(x), 8, 36).view(len(x), 8, 6, 6)
        if self.how == "numbers":
            x = x * x.shape[1]
        return self.narrow(x)


def _cut(model: nn.Module) -> tuple[nn.Module, Analysis, Selection]:
    analysis = analyse(capture(model.eval(), INPUTS), model)
    selection = Selection(analysis, np.empty(0, int))
    small = copy.deepcopy(model)
    cut_(small, analysis, selection)
    return small, analysis, selection


@pytest.mark.parametrize("how", ["error", "numbers", "training"])
def test_the_channels_of_the_failing_module_are_found(how: str) -> None:
    model = nn.Sequential(Part(""), Part(how), Part(""))
    small, analysis, selection = _cut(model)
    outs = {op.weight.name: op.out for op in analysis.weighted_sums}
    assert all(selection.gone[outs[f"{i}.wide.weight"]].sum() == 3 for i in range(3))
    train = how == "training"
    atoms = locate_fault(model, small, analysis, selection, INPUTS, train)
    assert selection.gone[atoms].any()
    gone = Selection(analysis, atoms).gone
    assert not gone[outs["1.wide.weight"]].any()
    assert gone[outs["0.wide.weight"]].sum() == gone[outs["2.wide.weight"]].sum() == 3
    assert not model.training


def test_without_a_place_everything_is_kept() -> None:
    model = nn.Sequential(Part(""))
    small, analysis, selection = _cut(model)
    atoms = locate_fault(model, small, analysis, selection, INPUTS, train=False)
    assert not Selection(analysis, atoms).gone.any()


def test_ops_know_their_module() -> None:
    model = nn.Sequential(Part(""))
    _, analysis, _ = _cut(model)
    assert [module_of(op) for op in analysis.weighted_sums] == ["0.wide", "0.narrow"]
    assert {module_of(op) for op in analysis.ops} == {"", "0", "0.wide", "0.narrow"}
