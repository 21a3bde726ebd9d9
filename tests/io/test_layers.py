"""Sparse layers as a header describes them, and as it makes them again."""

import json

import pytest
from parts import part
from torch import nn

from openwork.errors import ArgumentError
from openwork.io.layers import describe_layers, restore_layers_
from openwork.nn import Plan, SparseConv2d, SparseLinear, sparsify_

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
