"""`zero_small_scales_`: only scales below the threshold, and only those of batch norms."""

import torch
from torch import nn

from openwork.compact.small_scales import zero_small_scales_


def test_only_scales_below_the_threshold_become_zero() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4)
    )
    nn.init.constant_(model.get_parameter("3.weight"), 1e-5)
    with torch.no_grad():
        model.get_parameter("1.weight").copy_(torch.tensor([1e-4, -1e-4, 1e-3, -0.5]))
        model.get_parameter("1.bias").fill_(1e-5)
    conv = model.get_parameter("0.weight").detach().clone()
    assert zero_small_scales_(model, 1e-3) is model
    torch.testing.assert_close(
        model.get_parameter("1.weight").detach(), torch.tensor([0, 0, 1e-3, -0.5])
    )
    assert torch.equal(model.get_parameter("1.bias"), torch.full((4,), 1e-5))
    assert torch.equal(model.get_parameter("3.weight"), torch.full((4,), 1e-5))
    assert torch.equal(model.get_parameter("0.weight"), conv)
