"""Transposed convolutions, beside what torch computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lowering import Do, nodes_of
from native_operators import check_native
from torch import nn

from openwork.engine import CompiledModel, compile
from openwork.runtime.nodes import Conv, Rearrange

Build = Callable[..., CompiledModel]

LAYERS: list[dict[str, Any]] = [
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 3},
    {"kernel_size": 1, "stride": 3},
    {"kernel_size": (3, 5), "stride": (3, 2), "padding": (2, 0), "groups": 2, "bias": False},
    {"kernel_size": 3, "dilation": 2, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": 5, "stride": 4, "dilation": 3, "output_padding": 2},
    {"kernel_size": 2, "stride": 2, "groups": 4, "out_channels": 4},
]


@pytest.mark.parametrize("kernels", ["*-spmm-*", "*-taps-*", "torch"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers(layer: dict[str, Any], kernels: str, build: Build, tmp_path: Path) -> None:
    body = nn.ConvTranspose2d(4, **{"out_channels": 6, **layer})
    check_native(body, lambda *given: build(*given, kernels), tmp_path, (2, 4, 5, 6))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_layer(data: st.DataObject) -> None:
    def pair(least: int, most: int) -> tuple[int, int]:
        return data.draw(st.tuples(*[st.integers(least, most)] * 2))

    stride, dilation = pair(1, 4), pair(1, 3)
    most = [max(each) - 1 for each in zip(stride, dilation, strict=True)]
    extra = data.draw(st.tuples(st.integers(0, most[0]), st.integers(0, most[1])))
    layer = nn.ConvTranspose2d(4, 2, pair(1, 5), stride, pair(0, 4), extra, 2, True, dilation)
    example = torch.randn(2, 4, *pair(1, 7))
    try:
        assume(layer(example).numel())
    except RuntimeError:
        assume(False)
    model = Do(layer)
    model.layer = layer
    compiled = compile(model.eval(), example, kernels={"*": "*-taps-*"})
    assert compiled.layers.notes == ()
    assert compiled.difference < 1e-5


def test_each_phase_has_the_taps_that_reach_it() -> None:
    conv, joined = nodes_of(nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1))
    assert isinstance(conv, Conv)
    assert isinstance(joined, Rearrange)
    # Of 3x3 taps each of the four phases has 2x2.
    assert (conv.shape, conv.density) == ((20, 4, 3, 3), 4 / 9)
    (plain,) = nodes_of(nn.ConvTranspose2d(4, 5, 3, padding=1))
    assert isinstance(plain, Conv)
    assert plain.shape == (5, 4, 3, 3)


def test_dead_kernels_stay_dead() -> None:
    layer = nn.ConvTranspose2d(4, 5, 2, stride=2)
    with torch.no_grad():
        layer.weight[:3] = 0
    conv, _ = nodes_of(layer)
    assert isinstance(conv, Conv)
    assert conv.density == 0.25
