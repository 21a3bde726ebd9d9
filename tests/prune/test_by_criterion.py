"""A plan by criterion: how many parts of which layers it cuts, whatever the scores."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


@pytest.fixture
def two_layers() -> nn.Sequential:
    """Kernels of layer "0" have 9 weights of 0.1, those of layer "1" one weight of 0.5."""
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(0.1)
        model.get_parameter("1.weight").fill_(0.5)
    return model


def test_the_model_is_not_changed(network: Build, example: torch.Tensor) -> None:
    model = network("residual")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = list(model.modules())
    prune.by_criterion(model, ratio=0.5, example=example, progress=False)
    assert list(model.modules()) == modules
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_in_global_scope_kernels_are_compared_by_the_mean_of_their_weights(
    two_layers: nn.Sequential,
) -> None:
    # By their sums, 0.9 and 0.5, the kernels of "1" would be cut.
    plan = prune.by_criterion(two_layers, ratio=0.25, scope="global", layers="*", progress=False)
    assert {name: len(pattern.connections) for name, pattern in plan.layers.items()} == {"0": 2}


def test_in_layer_scope_each_layer_loses_its_share(two_layers: nn.Sequential) -> None:
    plan = prune.by_criterion(two_layers, ratio=0.25, layers="*", progress=False)
    assert [len(pattern.connections) for pattern in plan.layers.values()] == [3, 3]


def test_the_plan_has_the_shapes_and_groups_of_the_dense_weights(network: Build) -> None:
    model = network("plain")
    plan = prune.by_criterion(model, ratio=0.5, layers=["grouped", "head"], progress=False)
    assert {name: pattern.shape for name, pattern in plan.layers.items()} == {
        "grouped": (12, 4, 3, 3),
        "head": (5, 160),
    }
    assert plan.layers["grouped"].groups == 2


def test_nothing_is_printed_without_progress(
    network: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    prune.by_criterion(network("plain"), ratio=0.5, progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_criterion_decides_which_kernels_live(two_layers: nn.Sequential) -> None:
    with torch.no_grad():
        two_layers.get_parameter("0.weight")[0, 1] = 0.2
        two_layers.get_parameter("0.weight")[1, 0, 0, 0] = 0.8
    masks = {
        criterion: prune.by_criterion(
            two_layers, criterion, ratio=0.75, layers="0", progress=False
        ).layers["0"]
        for criterion in ("l1", "l2")
    }
    # Sums of absolute weights: 9 * 0.2 > 8 * 0.1 + 0.8; of squares: 9 * 0.04 < 0.08 + 0.64.
    live = {name: np.argwhere(mask.taps[:, :, 0, 0]).tolist() for name, mask in masks.items()}
    assert live == {"l1": [[0, 1]], "l2": [[1, 0]]}


def test_an_unknown_granularity_is_refused(two_layers: nn.Sequential) -> None:
    with pytest.raises(ow.ArgumentError, match="`granularity`='row' must be one of"):
        prune.by_criterion(two_layers, granularity="row", ratio=0.5, layers="*")


class Joined(nn.Module):
    """Two images through one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 1)
        self.mid = nn.Conv2d(12, 8, 1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.stem(left), self.stem(right)], 1).relu()
        return self.head(self.mid(both).relu())


@pytest.mark.parametrize("granularity", ["kernel", "feature_map"])
def test_networks_of_several_inputs(granularity: str) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3)
    plans = [
        ow.prune.by_criterion(
            Joined(),
            "taylor",
            granularity=granularity,
            ratio=0.25,
            example=example,
            batches=[(example, torch.zeros(2, 2, 3, 3))],
            loss=nn.functional.mse_loss,
            progress=False,
        )
        for example in ((left, right), {"right": right, "left": left})
    ]
    assert plans[0].layers.keys() == plans[1].layers.keys()
    assert plans[0].layers["mid"].fan_in.sum() == 72
