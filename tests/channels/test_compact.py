"""`compact`: outputs stay, dead channels go."""

import torch
from torch import nn

from openwork.channels import compact


def test_dead_channels_go_and_outputs_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)
    )
    nn.init.zeros_(model[1].weight[:5])
    small, proof = compact(model, torch.randn(2, 3, 8, 8))
    assert small[0].out_channels == small[1].num_features == small[3].in_channels == 3
    assert proof.relative < 1e-6
