"""`make_masks_permanent_`: masked weights become plain parameters."""

import torch
from parts import tensor
from torch import nn
from torch.nn.utils import prune

from openwork.compact.masks import make_masks_permanent_


def test_masked_weights_become_plain_parameters() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    prune.custom_from_mask(model[0], "weight", torch.tensor([[1.0, 0, 1, 0]] * 3))
    prune.custom_from_mask(model[2], "bias", torch.tensor([0.0, 1]))
    expected = tensor(model[0], "weight").detach().clone()
    bias = tensor(model[2], "bias").detach().clone()
    assert make_masks_permanent_(model) is model
    assert sorted(model.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert isinstance(model[0].weight, nn.Parameter)
    assert torch.equal(model[0].weight, expected)
    assert torch.equal(model[0].weight[:, [1, 3]], torch.zeros(3, 2))
    assert torch.equal(model.get_parameter("2.bias"), bias)
    assert model.get_parameter("2.bias")[0] == 0
    assert not any(module._forward_pre_hooks for module in model)


def test_other_hooks_are_kept() -> None:
    model = nn.Linear(4, 3)
    model.register_forward_pre_hook(lambda _module, _inputs: None)
    make_masks_permanent_(model)
    assert len(model._forward_pre_hooks) == 1
