"""Which layers can be made sparse, why others are left, and how a layer is replaced."""

from torch import nn

from openwork.nn import SparseLinear
from openwork.nn.layers import (
    by_reason,
    dense_layers,
    left_layers,
    replace,
    sparse_layers,
    why_left,
)
from openwork.patterns import random


class _Own(nn.Linear):
    pass


def _model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(), SparseLinear(random(4, 4, density=0.5)), _Own(2, 2)
    )


def test_layers_are_found_by_name() -> None:
    model = _model()
    assert dense_layers(model) == {"0": model[0]}
    assert sparse_layers(model) == {"2": model[2]}


def test_the_others_have_a_reason() -> None:
    reasons = left_layers(_model())
    assert set(reasons) == {"2", "3"}
    assert "sparse already" in reasons["2"]
    assert reasons["3"].startswith("_Own is not a plain layer")
    assert "whole model" in left_layers(nn.Linear(2, 2))[""]


def test_a_module_used_twice_stays_one_module() -> None:
    old, new = nn.Linear(2, 2), nn.Linear(2, 2)
    model = nn.Sequential(old, nn.Sequential(old, nn.ReLU()))
    replace(model, {old: new})
    assert model[0] is new
    assert model.get_submodule("1.0") is new


def test_each_reason_is_given_once_with_the_first_layers() -> None:
    found = list(by_reason({"a": "x", "": "y", **dict.fromkeys("bcde", "x")}))
    assert found == [("'a', 'b', 'c' and 2 more", "x"), ("'the model itself'", "y")]


def test_every_kind_that_cannot_be_sparse_is_named() -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.LazyConv2d(3, 1), nn.Linear(2, 2), nn.Linear(2, 2))
    model[3].weight = model[2].weight
    reasons = left_layers(model)
    assert "not for Conv3d; compact removes its dead channels" in reasons["0"]
    assert "run the network once on an example" in reasons["1"]
    assert "'2.weight' and '3.weight' are one parameter" in reasons["2"]
    assert "'2', '3' cannot be made sparse: its weight is shared" in why_left(model)
