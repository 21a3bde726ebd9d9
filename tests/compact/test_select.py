"""`Selection`: which atoms are removed, which are kept for their number, and why."""

import numpy as np
import pytest
import torch
from parts import known
from torch import nn

from openwork.capture import capture
from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis, analyse

NOTHING = np.empty(0, int)


def _analyse(model: nn.Module) -> Analysis:
    return analyse(capture(model.eval(), (torch.rand(2, 2, 6, 6),)), model)


@torch.no_grad()
def _plain(dead: list[int], value: float = 0.0) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    model.get_parameter("0.weight")[dead], model.get_parameter("0.bias")[dead] = 0, value
    return model


def test_dead_channels_are_removed_and_columns_are_those_that_are_kept() -> None:
    analysis = _analyse(_plain([0, 2, 5]))
    selection = Selection(analysis, NOTHING)
    out = analysis.weighted_sums[0].out
    assert np.flatnonzero(selection.gone[out]).tolist() == [0, 2, 5]
    assert selection.columns["2.weight"].tolist() == [1, 3, 4, 6, 7]
    assert not selection.gone[analysis.weighted_sums[1].out].any()


def test_what_is_to_be_kept_is_kept() -> None:
    analysis = _analyse(_plain([0, 2, 5]))
    out = analysis.weighted_sums[0].out
    selection = Selection(analysis, out[[2]])
    assert np.flatnonzero(selection.gone[out]).tolist() == [0, 5]
    assert np.flatnonzero(selection.removable[out]).tolist() == [0, 2, 5]


@pytest.mark.parametrize(("dead", "removed"), [(3, 0), (4, 4), (5, 4), (7, 4)])
def test_kept_channels_are_rounded_up(dead: int, removed: int) -> None:
    analysis = _analyse(_plain(list(range(dead))))
    selection = Selection(analysis, NOTHING, round_to=4)
    out = analysis.weighted_sums[0].out
    assert (selection.dead[out].sum(), selection.gone[out].sum()) == (dead, removed)


def test_a_layer_keeps_one_channel() -> None:
    analysis = _analyse(_plain(list(range(8))))
    selection = Selection(analysis, NOTHING)
    out = analysis.weighted_sums[0].out
    assert selection.dead[out].all()
    assert selection.removable[out].sum() == selection.gone[out].sum() == 7


@torch.no_grad()
def test_reasons_are_zero_constant_or_unread() -> None:
    model = _plain([0, 1])
    model.get_parameter("0.bias")[1] = 0.5
    model.get_parameter("2.weight")[:, 2] = 0
    analysis = _analyse(model)
    selection = Selection(analysis, NOTHING)
    read, constant = selection.reasons()
    out = analysis.weighted_sums[0].out[:3]
    assert selection.gone[out].all()
    assert constant[out].tolist() == [False, True, False]
    assert read[out].tolist()[2] is False


@torch.no_grad()
def test_both_sides_of_a_sum_are_removed_together() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = (
                nn.Conv2d(2, 4, 1),
                nn.Conv2d(2, 4, 1),
                nn.Conv2d(4, 2, 1),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.one(x) + self.two(x))

    model = Sum()
    for conv, dead in ((model.one, [0, 1]), (model.two, [1, 2])):
        conv.weight[dead], known(conv.bias)[dead] = 0, 0
    analysis = _analyse(model)
    gone = Selection(analysis, NOTHING).gone
    for op in analysis.weighted_sums[:2]:
        assert gone[op.out].tolist() == [False, True, False, False]
