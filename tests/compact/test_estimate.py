"""`share_left`: what is left of each layer, weighted by its cost."""

import numpy as np
import pytest
import torch
from parts import known, part
from torch import nn

from openwork.capture import capture
from openwork.compact import compact
from openwork.compact.estimate import share_left
from openwork.compact.select import Selection
from openwork.flow.analysis import analyse


def _share(model: nn.Sequential, costs: dict[str, float]) -> float:
    analysis = analyse(capture(model.eval(), (torch.rand(2, 4, 6, 6),)), model)
    return share_left(analysis, Selection(analysis, np.arange(0)), costs)


@torch.no_grad()
def _kill(model: nn.Sequential, channels: list[int]) -> None:
    first = part(model, 0, nn.Conv2d)
    first.weight[channels], known(first.bias)[channels] = 0, 0


def test_costs_shrink_with_both_numbers_of_channels() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 2, 1))
    assert _share(model, {"0": 10.0, "2": 30.0}) == 1
    _kill(model, [0, 1])
    assert _share(model, {"0": 10.0, "2": 30.0, "3": 60.0}) == pytest.approx(0.9)
    assert _share(model, {"3": 5.0, "elsewhere": 7.0}) == 1
    assert _share(model, {}) == 1


@pytest.mark.parametrize("groups", [2, 8])
def test_groups_are_not_counted_twice(groups: int) -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=groups))
    model.append(nn.Conv2d(8, 2, 1))
    _kill(model, [0, 4] if groups == 2 else [0, 1])
    costs = {str(i): float(part(model, i, nn.Conv2d).weight.numel()) for i in (0, 2, 3)}
    small, _ = compact(model, torch.rand(2, 4, 6, 6))
    left = sum(part(small, i, nn.Conv2d).weight.numel() for i in (0, 2, 3))
    assert _share(model, costs) == pytest.approx(left / sum(costs.values()))
