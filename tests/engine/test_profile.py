"""The per-layer table."""

import pytest
import torch
from torch import nn

import openwork as ow

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")


def test_one_row_for_each_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1))
    ow.sparsify_(model, ow.Plan({"2": {"pattern": "random", "density": 0.25}}))
    table = ow.profile(model, torch.randn(1, 3, 8, 8))
    assert table.column("layer") == ["0", "2"]
    assert table.column("density") == [1, 0.25]
    assert all(seconds > 0 for seconds in table.column("ms"))


def test_a_compiled_network_has_its_table_already() -> None:
    example = torch.randn(1, 3, 8, 8)
    compiled = ow.compile(nn.Sequential(nn.Conv2d(3, 8, 3)), example)
    assert ow.profile(compiled, example) is compiled.layers
    with pytest.raises(ow.ArgumentError, match="compile it for this size"):
        ow.profile(compiled, torch.randn(1, 3, 9, 8))
