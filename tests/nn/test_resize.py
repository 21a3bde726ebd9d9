"""Resized layers: their shapes are recorded, and restored in a model that is built again."""

import json

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseConv2d, SparseLinear
from openwork.nn.resize import Zeros, describe_resized, mark_resized, restore_resized_, set_pattern_
from openwork.patterns import random


def _model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ConvTranspose2d(8, 4, 2),
        nn.Linear(4, 5),
        nn.Conv2d(4, 4, 1),
    )


def _resized() -> nn.Sequential:
    model = _model()
    model[0].weight.data = model[0].weight.data[:6]
    for index in (1, 2):
        for tensor in [*model[index].parameters(), *model[index].buffers()]:
            tensor.data = tensor.data[:6] if tensor.dim() else tensor.data
    model[3].weight.data, model[3].bias.data = model[3].weight.data[:6], model[3].bias.data[:6]
    model[4].weight.data = model[4].weight.data[:6, :3]
    model[4].bias.data = model[4].bias.data[:3]
    model[5].weight.data = model[5].weight.data[:, :3]
    for index, groups in enumerate((1, None, None, 6, 1, None)):
        mark_resized(model[index], groups)
    model[6] = Zeros()
    return model


def test_counts_follow_the_tensors() -> None:
    model = _resized()
    assert (model[0].in_channels, model[0].out_channels) == (3, 6)
    assert model[1].num_features == model[2].num_parameters == 6
    assert (model[3].in_channels, model[3].out_channels, model[3].groups) == (6, 6, 6)
    assert (model[4].in_channels, model[4].out_channels) == (6, 3)
    assert (model[5].in_features, model[5].out_features) == (3, 5)


def test_a_model_built_anew_gets_the_same_shapes() -> None:
    model, new = _resized(), _model()
    restore_resized_(new, json.loads(json.dumps(describe_resized(model))))
    assert str(new) == str(model)
    new.load_state_dict(model.state_dict())
    assert describe_resized(new) == describe_resized(model)


def test_a_bias_that_was_made_is_made_again() -> None:
    model, new = _model(), _model()
    model[0].register_parameter("bias", nn.Parameter(torch.ones(8)))
    mark_resized(model[0], 1)
    restore_resized_(new, describe_resized(model))
    assert new[0].bias.shape == (8,)


def test_models_that_were_not_resized_note_nothing_down() -> None:
    assert describe_resized(_model()) == {}


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(ArgumentError, match="'9' is not in the model"):
        restore_resized_(_model(), {"9": {"zeros": True}})
    with pytest.raises(ArgumentError, match="a Conv2d of the model has no 'gain'"):
        restore_resized_(_model(), {"0": {"shapes": {"gain": [3]}, "groups": 1}})


def test_a_sparse_layer_takes_another_pattern() -> None:
    conv = SparseConv2d(random(8, 4, 3, density=0.5, seed=0))
    pattern = random(6, 3, 3, density=0.5, seed=1)
    set_pattern_(conv, pattern, torch.ones(pattern.live))
    conv.bias.data = conv.bias.data[:6]
    assert conv.pattern == pattern
    assert conv(torch.ones(1, 3, 5, 5)).shape == (1, 6, 3, 3)
    assert str(conv).startswith("SparseConv2d(3, 6")
    linear = SparseLinear(random(8, 4, (), density=0.5, seed=0), bias=False)
    pattern = random(6, 3, (), density=0.5, seed=1)
    set_pattern_(linear, pattern, torch.ones(pattern.live))
    assert linear(torch.ones(2, 3)).shape == (2, 6)
    assert str(linear).startswith("SparseLinear(3, 6")
