"""In sparse layers what falls with a map counts as cut too, and no layer is left empty."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune
from openwork.prune.criteria import drawn
from openwork.prune.units.feature_maps import feature_map_units
from openwork.prune.units.layers import chosen_layers
from openwork.prune.units.units import Units

IMAGE = torch.ones(2, 3, 4, 4)


def _grouped() -> nn.Module:
    """Whose cheapest maps before the grouped layer are those its own dearest maps are made of."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=2)),
        *(nn.ReLU(), nn.Conv2d(4, 2, 1)),
    )
    with torch.no_grad():
        model[1].weight[:2] *= 0.01
        model[2].weight[2:] *= 0.01
    return model.eval()


def _one_column() -> nn.Module:
    """A chain whose second layer reads the cheapest map of the first alone."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        model[0].weight[0] *= 1e-3
    taps = np.zeros((8, 8, 1, 1), dtype=bool)
    taps[:, 0] = True
    return ow.sparsify_(model, ow.Plan({"1": ow.patterns.Pattern(taps)}), init="keep").eval()


def _thin() -> nn.Module:
    """A chain of six layers with a fifth of its kernels."""
    torch.manual_seed(0)
    sizes = [3, *[16] * 6, 4]
    model = nn.Sequential(*(nn.Conv2d(i, o, 1) for i, o in itertools.pairwise(sizes)))
    plan = prune.by_criterion(model, "random", ratio=0.8, progress=False)
    return prune.apply_(model, plan).eval()


def _units(model: nn.Module, layers: list[str]) -> Units:
    return feature_map_units(model, chosen_layers(model, layers), IMAGE)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(
    ("model", "layers", "ratio"),
    [
        (_grouped(), ["1", "2"], 0.5),
        (_one_column(), ["0", "1"], 0.25),
        (_thin(), list("12345"), 0.5),
        (_thin(), list("12345"), 0.8),
    ],
    ids=["grouped", "one column", "thin", "very thin"],
)
def test_the_ratio_is_met_and_no_layer_is_empty(
    model: nn.Module, layers: list[str], ratio: float, scope: str
) -> None:
    units = _units(model, layers)
    for candidate in range(3):
        taps = units.masks(drawn(units, 0, candidate), ratio, scope)
        assert all(live.any() for live in taps.values())
        count = sum(group.count for group in units.groups)
        slack = len(units.groups) / 2 if scope == "layer" else 0.5
        assert abs(count - units.count_alive(taps) - ratio * count) <= slack


def test_the_cheapest_map_stays_if_the_next_layer_is_made_of_it() -> None:
    model = _one_column()
    plan = prune.by_criterion(
        model, granularity="feature_map", ratio=0.25, layers=["0", "1"], example=IMAGE
    )
    made = plan.layers["0"].fan_in
    assert made[0] == 3
    assert (made == 0).sum() == 2


def test_a_map_that_falls_takes_what_reads_it_along() -> None:
    units = _units(_thin(), list("12345"))
    taps = units.masks(drawn(units, 1, 0), 0.5)
    for made, read in zip("1234", "2345", strict=True):
        dead = ~taps[made].any(axis=(1, 2, 3))
        assert not taps[read][:, dead].any()


class _Tied(nn.Module):
    """A layer that reads what it makes, since both are added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.last(x + self.body(x))


def test_dense_layers_lose_the_lowest_scores() -> None:
    units = _units(_Tied().eval(), ["stem", "body"])
    (scores,) = drawn(units, 0, 0)
    for name, live in units.masks([scores], 0.7).items():
        kept = live.any(axis=(0, 2, 3) if name == "last" else (1, 2, 3))
        assert np.flatnonzero(kept).tolist() == [scores.argmax()]
