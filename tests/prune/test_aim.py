"""What a cut aims at: a ratio, `layer_ratios`, a share of the network, or a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from openwork import prune
from openwork.errors import ArgumentError, PlanError
from openwork.nn import count_macs

Build = Callable[[str], nn.Module]


@pytest.mark.parametrize("share", [0.4, 0.7])
@pytest.mark.parametrize("what", ["macs", "parameters"])
def test_a_share_of_the_network_is_left(
    network: Build, example: torch.Tensor, what: str, share: float
) -> None:
    model = network("plain")

    def size() -> int:
        if what == "macs":
            return sum(count_macs(model, example).values())
        return sum(p.numel() for p in model.parameters())

    before = size()
    aim: dict[str, Any] = {what: share}
    plan = prune.by_criterion(model, example=example, layers="*", progress=False, **aim)
    prune.apply_(model, plan)
    assert share - 0.02 < size() / before <= share


def test_each_layer_may_have_a_ratio(network: Build, example: torch.Tensor) -> None:
    model = network("plain")
    plan = prune.by_criterion(
        model, ratio={"*": 0.25, "a": 0.5, "last": 0}, example=example, progress=False
    )
    patterns = plan.resolve(model)
    assert [patterns[name].density for name in ("a", "b")] == [0.5, 0.75]
    assert "last" not in patterns, "whole layers stay dense"


def test_maps_are_left_in_multiples(network: Build, example: torch.Tensor) -> None:
    model = network("plain")
    plan = prune.by_criterion(
        model,
        granularity="feature_map",
        ratio=0.4,
        round_to=4,
        example=example,
        progress=False,
    )
    patterns = plan.resolve(model)
    # 8 * 0.6 is nearest to 4.
    assert int(patterns["a"].taps.any(axis=(1, 2, 3)).sum()) == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "none of them is given"),
        ({"ratio": 0.5, "macs": 0.5}, r"`ratio`=0\.5 and `macs`=0\.5 is given"),
        ({"macs": 1.5}, r"`macs`=1\.5 must lie in"),
        ({"macs": 0.01}, r"`macs`=0\.01 cannot be reached"),
        ({"ratio": 0.5, "round_to": 4}, "counts feature maps"),
        ({"ratio": {"a": 0.5}, "scope": "global"}, "one ratio for all layers"),
        ({"ratio": {"a": 1.5}}, r"`ratio`=1\.5 for layer 'a' must lie in"),
        ({"ratio": {}}, "at least one layer glob"),
    ],
)
def test_other_aims_are_refused(
    network: Build, example: torch.Tensor, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ArgumentError, match=text):
        prune.by_criterion(network("plain"), example=example, progress=False, **arguments)


def test_a_glob_for_a_ratio_must_match(network: Build, example: torch.Tensor) -> None:
    with pytest.raises(PlanError, match="'nothing', which matches none"):
        prune.by_criterion(network("plain"), ratio={"nothing": 0.5}, example=example)
