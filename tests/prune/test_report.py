"""What was asked and what was achieved, in maps, kernels, parameters and MACs."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork import prune
from openwork.nn import count_macs
from openwork.prune.criteria import drawn
from openwork.prune.report import cut_table
from openwork.prune.units.feature_maps import feature_map_units
from openwork.prune.units.layers import chosen_layers

Build = Callable[[str], nn.Module]


def test_the_table_agrees_with_the_pruned_network(network: Build, example: torch.Tensor) -> None:
    model = network("depthwise")
    units = feature_map_units(model, chosen_layers(model, ["a", "grouped"]), example)
    masks = units.masks(drawn(units, 0, 0), 0.5)
    table = cut_table(model, units, masks, 0.5, "live", example)
    before = [sum(p.numel() for p in model.parameters()), sum(count_macs(model, example).values())]
    plan = prune.by_criterion(
        model,
        "random",
        granularity="feature_map",
        ratio=0.5,
        layers=["a", "grouped"],
        example=example,
        progress=False,
    )
    prune.apply_(model, plan)
    after = [sum(p.numel() for p in model.parameters()), sum(count_macs(model, example).values())]
    assert table.column("what")[0] == "asked 50.00% of the free maps"
    # `depthwise` passes on the maps of `a`, so they count once for each of the two layers.
    assert table.column("before") == [20, 28, 64 + 8 + 48, *before]
    assert table.column("after") == [10, 14, table.rows[2][2], *after]
    assert table.column("pruned")[0] == "50.00%"


def test_without_an_example_macs_are_left_out(
    network: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    prune.by_criterion(network("plain"), ratio=0.5, layers="a")
    printed = capsys.readouterr().err
    assert "64 kernels in 1 layer; a ratio from 0 to 0.9921 is feasible, 0.5 is asked" in printed
    assert "parameters of the network" in printed
    assert "MACs" not in printed
