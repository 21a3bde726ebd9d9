"""A plan put into effect: weights that stay are kept, whatever was sparse before."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


def _plan(model: nn.Module, layers: str) -> ow.Plan:
    return prune.by_criterion(model, ratio=0.5, layers=layers, progress=False)


def test_weights_that_stay_are_kept_bit_for_bit(network: Build) -> None:
    model = network("plain")
    dense = model.get_parameter("a.weight").clone()
    pattern = _plan(model, "a").resolve(model)["a"]
    prune.apply_(model, _plan(model, "a"))
    assert torch.equal(model.get_parameter("a.weight"), dense[torch.from_numpy(pattern.taps)])


def test_layers_that_the_plan_does_not_name_keep_their_patterns(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, "a"))
    before = model.get_parameter("a.weight").clone()
    only_b = ow.Plan({"b": ow.patterns.random(8, 8, 3, 0.5)})
    assert prune.apply_(model, only_b) is model
    assert torch.equal(model.get_parameter("a.weight"), before)
    assert isinstance(model.get_submodule("b"), ow.SparseConv2d)


def test_a_plan_that_does_not_fit_changes_nothing(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, "a"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ow.PlanError, match="pattern of"):
        prune.apply_(model, ow.Plan({"b": ow.patterns.random(4, 8, 3, 0.5)}))
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
