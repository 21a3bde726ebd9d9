"""Operators on masks, and those that write to their input."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around
from parts import part
from torch import nn

from openwork.compact import compact

Body = Callable[[torch.Tensor], torch.Tensor]
EXAMPLE = torch.rand(2, 3, 12, 12)
# What it does, and how many of eight channels stay where three are 0, and where they are 0.3.
BODIES: dict[str, tuple[Body, int, int]] = {
    "where": (lambda x: torch.where(x > 0, x, x * 0.1), 5, 5),
    "edge": (lambda x: torch.where(x > 0.3, x, x * 0.1), 5, 5),
    "of another channel": (lambda x: torch.where(x[:, 7:] > 0, x, x * 1), 8, 8),
    "both": (lambda x: torch.where((x > 0) & (x < 2), x, 2 * x), 5, 5),
    "masked": (lambda x: x.masked_fill(x < 0, 0.5), 5, 5),
    "product": (lambda x: x * (x > 0), 5, 5),
    "as numbers": (lambda x: x * (x > 0).float(), 5, 5),
    "whole numbers": (lambda x: torch.where(x.long() > 0, x, x * 0.1), 8, 8),
    "gated": (lambda x: F.glu(torch.cat([x, x + 1], 1), 1), 5, 5),
    "gated along rows": (lambda x: F.glu(x, 2), 5, 5),
    "shrunk": (lambda x: F.softshrink(x), 5, 5),
    "power in place": (lambda x: x.abs().add(1).pow_(x.sigmoid()), 5, 5),
    "power of two in place": (lambda x: x.abs().add(1).pow_(2), 5, 5),
    "double in place": (lambda x: x.double().abs().add(1).float_power_(x.double()).float(), 5, 5),
}


@pytest.mark.parametrize("constant", [0.0, 0.3])
@pytest.mark.parametrize("name", BODIES)
def test_constants_go_through(name: str, constant: float) -> None:
    body, *channels = BODIES[name]
    model = Around(body, constant=constant).eval()
    small, _ = compact(model, EXAMPLE)
    assert part(small, "conv", nn.Conv2d).out_channels == channels[constant > 0]
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)
