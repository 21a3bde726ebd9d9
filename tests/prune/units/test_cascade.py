"""In sparse layers maps that are lost with a cut one count as cut, and no layer is left empty."""

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
    """A network whose grouped layer computes its best maps from the worst maps before it."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=2)),
        *(nn.ReLU(), nn.Conv2d(4, 2, 1)),
    )
    with torch.no_grad():
        model.get_parameter("1.weight")[:2] *= 0.01
        model.get_parameter("2.weight")[2:] *= 0.01
    return model.eval()


def _one_column() -> nn.Module:
    """A chain whose second layer reads only the map with the lowest score of the first."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        model.get_parameter("0.weight")[0] *= 1e-3
    mask = np.zeros((8, 8, 1, 1), dtype=bool)
    mask[:, 0] = True
    return ow.sparsify_(model, ow.Plan({"1": ow.patterns.Pattern(mask)}), init="keep").eval()


def _thin() -> nn.Module:
    """A chain of convolutions with a fifth of the kernels."""
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
        masks = units.masks(drawn(units, 0, candidate), ratio, scope)
        assert all(mask.any() for mask in masks.values())
        count = sum(group.count for group in units.groups)
        slack = len(units.groups) / 2 if scope == "layer" else 0.5
        assert abs(count - units.count_alive(masks) - ratio * count) <= slack


def test_the_map_with_the_lowest_score_is_kept_if_the_next_layer_needs_it() -> None:
    model = _one_column()
    plan = prune.by_criterion(
        model, granularity="feature_map", ratio=0.25, layers=["0", "1"], example=IMAGE
    )
    fan_in = plan.layers["0"].fan_in
    assert fan_in[0] == 3
    assert (fan_in == 0).sum() == 2


def test_nothing_reads_a_map_that_is_lost() -> None:
    units = _units(_thin(), list("12345"))
    masks = units.masks(drawn(units, 1, 0), 0.5)
    for producer, consumer in zip("1234", "2345", strict=True):
        dead = ~masks[producer].any(axis=(1, 2, 3))
        assert not masks[consumer][:, dead].any()


class _Tied(nn.Module):
    """A layer whose output is added to its input, so that it reads the maps it produces."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.last(x + self.body(x))


def test_dense_layers_lose_the_lowest_scores() -> None:
    units = _units(_Tied().eval(), ["stem", "body"])
    (scores,) = drawn(units, 0, 0)
    for name, mask in units.masks([scores], 0.7).items():
        kept = mask.any(axis=(0, 2, 3) if name == "last" else (1, 2, 3))
        assert np.flatnonzero(kept).tolist() == [scores.argmax()]
