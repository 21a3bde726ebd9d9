"""Copies follow the batch norms and activations behind them, and the numbers stay."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lowering import Do
from native_operators import check_native
from torch import nn

from openwork.capture import capture
from openwork.engine import CompiledModel
from openwork.engine.lower.lower import lower
from openwork.engine.passes.copy_later import copy_later
from openwork.engine.passes.fuse import fuse
from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.nodes import Conv

Build = Callable[..., CompiledModel]


def _norm(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    return norm


def _decoder(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(4, 6, 4, 2, 1), *layers)


CASES: dict[str, tuple[nn.Module, list[str]]] = {
    "batch norm and activation": (_decoder(_norm(6), nn.ReLU()), ["Conv", "Rearrange"]),
    "activation": (_decoder(nn.SiLU()), ["Conv", "Rearrange"]),
    "pixel shuffle": (
        nn.Sequential(nn.Conv2d(4, 12, 3), nn.PixelShuffle(2), _norm(3), nn.ReLU6()),
        ["Conv", "Rearrange"],
    ),
    # Channels do not stay together.
    "channel shuffle": (
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.ChannelShuffle(3), _norm(6)),
        ["Conv", "Rearrange", "Affine"],
    ),
    "function": (_decoder(nn.GELU()), ["Conv", "Rearrange", "PointFunction"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_joins_the_convolution(name: str, build: Build, tmp_path: Path) -> None:
    body, kinds = CASES[name]
    check_native(body.eval(), build, tmp_path)
    graph, _ = lower(capture(Do(body).eval(), (torch.zeros(2, 4, 6, 8),)))
    remove_unread(graph)
    copy_later(graph)
    fuse(graph)
    assert [type(node).__name__ for node in graph.nodes] == ["Conv", *kinds]
    if len(kinds) == 2 and name != "batch norm and activation":
        conv = graph.nodes[1]
        assert isinstance(conv, Conv)
        assert conv.activation != "none"


def test_phases_of_one_pixel_keep_their_channels_apart(build: Build, tmp_path: Path) -> None:
    """They need no copy, but the batch norm has a scale per channel, not per phase."""
    body = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2), _norm(6), nn.ReLU()).eval()
    check_native(body, build, tmp_path, (2, 4, 1, 1))


def test_a_copy_that_is_returned_stays(build: Build) -> None:
    layer = nn.ConvTranspose2d(4, 6, 2, 2)

    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = layer(x)
        return y, y.relu()

    model = Do(body)
    model.layer = layer
    assert build(model.eval(), torch.randn(2, 4, 6, 8)).difference < 1e-6
