"""Sparse layers as a header describes them, and as it makes them again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from parts import part
from torch import nn

from openwork import compact
from openwork.errors import ArgumentError
from openwork.io import load, save
from openwork.io.layers import describe_layers, restore_layers_, twin_of
from openwork.nn import Plan, SparseConv2d, SparseLinear, densify_, sparsify_
from openwork.patterns import random

PLAN = Plan({"*": {"pattern": "random", "density": 0.5}}, seed=1)


def _dense() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(8, 6))


def test_a_header_says_shape_groups_and_origin() -> None:
    found = describe_layers(sparsify_(_dense(), PLAN))
    assert list(found) == ["0", "2"]
    assert (found["0"]["shape"], found["0"]["groups"]) == ([8, 2, 3, 3], 2)
    assert found["2"]["origin"]["spec"] == {"pattern": "random", "density": 0.5}
    assert describe_layers(_dense()) == {}


def test_a_dense_model_gets_the_same_layers() -> None:
    model = sparsify_(_dense(), PLAN)
    header = json.loads(json.dumps(describe_layers(model)))
    back = restore_layers_(_dense(), header, model.state_dict())
    for name, kind in (("0", SparseConv2d), ("2", SparseLinear)):
        ours, theirs = part(back, name, kind), part(model, name, kind)
        assert (ours.pattern, ours.origin) == (theirs.pattern, theirs.origin)


def test_a_single_layer_is_replaced_itself() -> None:
    layer = sparsify_(nn.Sequential(nn.Linear(4, 4)), PLAN)[0]
    back = restore_layers_(nn.Linear(4, 4), describe_layers(layer), layer.state_dict())
    assert isinstance(back, SparseLinear)


def test_a_header_of_another_model_is_refused() -> None:
    model = sparsify_(_dense(), PLAN)
    header = describe_layers(model)
    for other, found in ((nn.Sequential(nn.ReLU()), "ReLU"), (nn.Sequential(), "nothing")):
        with pytest.raises(ArgumentError, match=f"layer '0' must be .* found {found}"):
            restore_layers_(other, header, model.state_dict())


@pytest.mark.parametrize("change", [lambda model: model, densify_])
def test_a_compacted_model_can_be_saved_loaded_and_saved_again(change: Any, tmp_path: Path) -> None:
    """A layer that is replaced remembers that its channels were cut."""

    def build() -> nn.Sequential:
        layers = (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3))
        return nn.Sequential(*layers).eval()

    torch.manual_seed(0)
    model = sparsify_(build(), PLAN)
    with torch.no_grad():
        model.get_parameter("1.weight")[:2] = 0
    image = torch.randn(2, 3, 8, 8)
    small = change(compact(model, image)[0])
    assert small[0].out_channels == 6
    expected = small(image)
    for _ in range(2):
        save(small, tmp_path / "small.safetensors")
        small = load(tmp_path / "small.safetensors", build).eval()
    assert torch.equal(small(image), expected)


def test_a_twin_has_zeros_where_values_are_to_be_loaded() -> None:
    layer = nn.Conv2d(4, 8, 3, groups=2).requires_grad_(False)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    twin = twin_of(layer, random(8, 4, 3, density=0.5, groups=2))
    assert not twin.weight.any()
    assert not twin.weight.requires_grad
    assert layer.weight.isnan().all()
