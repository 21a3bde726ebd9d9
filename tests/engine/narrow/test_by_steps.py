"""Networks of bytes are compared byte by byte; faults are told from roundings."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE
from openwork.engine.narrow import join
from openwork.errors import VerificationError
from openwork.runtime.nodes import ByteConv


class Deep(nn.Module):
    """Twelve layers, whose roundings outgrow any tolerance of the outputs."""

    numbers: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "numbers", torch.randint(-60, 61, (12, 16, 16, 3, 3), dtype=torch.int8)
        )
        self.register_buffer("scale", torch.full((16,), 0.003))
        self.register_buffer("zero", torch.zeros(16, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        form = (0.03, 128, 0, 255, torch.uint8)
        for numbers in self.numbers:
            x = DEQUANTIZE(QUANTIZE(x, *form), *form)
            held = numbers, self.scale, self.zero
            x = F.conv2d(x, DEQUANTIZE_CHANNELS(*held, 0, -127, 127, torch.int8), padding=1)
        return x


def test_the_right_network_holds() -> None:
    compiled = ow.compile(Deep(), torch.randn(2, 16, 12, 12))
    assert compiled.difference < 1e-5


@pytest.mark.parametrize("change", ["a weight", "a zero point", "the scale"])
def test_a_fault_is_refused(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = join._Joining._conv

    def wrong(self: Any, *args: Any) -> ByteConv:
        conv = made(self, *args)
        if change == "a weight":
            weight = conv.weight.copy()
            weight[3, 2] = -weight[3, 2]
            return dataclasses.replace(conv, weight=weight)
        if change == "a zero point":
            return dataclasses.replace(conv, zero=conv.zero + 1)
        return dataclasses.replace(conv, scale=conv.scale * np.float32(1.01))

    monkeypatch.setattr(join._Joining, "_conv", wrong)
    with pytest.raises(VerificationError, match=r"of \d+ int8 numbers of 'quantize_per_tensor"):
        ow.compile(Deep(), torch.randn(2, 16, 12, 12))


class ChannelsLast(nn.Module):
    """Two linear layers along the last axis, between permutations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x).permute(0, 2, 3, 1)
        return self.narrow(self.wide(y).relu()).permute(0, 3, 1, 2)


def test_channels_last_layers_compute_in_bytes() -> None:
    x = torch.randn(3, 3, 7, 9)
    quantised, _ = ow.quantize(ChannelsLast().eval(), [x])
    compiled = ow.compile(quantised, x)
    assert compiled.layers.notes == ()
    assert all(name.startswith("int8-") for name in compiled.layers.column("kernel"))
    # Every byte was compared with the original's, which lies in another order.
    assert compiled.difference < 1e-5
