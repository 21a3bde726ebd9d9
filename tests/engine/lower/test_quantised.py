"""Quantisations: which forms become steps of bytes, and what an int8 weight is."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.capture import capture
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE
from openwork.engine.lower.lower import lower
from openwork.engine.narrow.join import join_bytes
from openwork.runtime.nodes import Conv, Dequantize, Quantize

X = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))


class Runs(nn.Module):
    def __init__(self, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(x)


def _qdq(*form: object) -> nn.Module:
    return Runs(lambda x: DEQUANTIZE(QUANTIZE(x, *form), *form))


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ((0.5, 3, 0, 255, torch.uint8), (0.5, 3, 0, 255)),
        ((0.5, 3, 0, 127, torch.uint8), (0.5, 3, 0, 127)),
        ((0.5, -5, -128, 127, torch.int8), (0.5, 123, 0, 255)),
        ((0.5, 0, -127, 127, torch.int8), (0.5, 128, 1, 255)),
    ],
)
def test_bytes_with_a_constant_scale_are_steps(
    form: tuple[object, ...], wanted: tuple[object, ...]
) -> None:
    graph, known = lower(capture(_qdq(*form), (X,)))
    to, back = graph.nodes
    assert isinstance(to, Quantize)
    assert isinstance(back, Dequantize)
    assert (to.scale, to.zero, to.least, to.most) == wanted
    assert (back.scale, back.zero) == wanted[:2]
    assert to.output.floats == 25
    assert list(known.bytes.values()) == [to.output]


@pytest.mark.parametrize(
    "network",
    [
        _qdq(0.5, 3, 0, 1000, torch.int32),
        Runs(lambda x: QUANTIZE(x, 0.5, 3, 0, 255, torch.uint8)),
        Runs(lambda x: QUANTIZE(x, 0.5, 3, 0, 255, torch.uint8).float()),
    ],
)
def test_other_forms_are_left_to_torch(network: nn.Module) -> None:
    graph, _ = lower(capture(network, (X,)))
    assert not any(isinstance(node, Quantize | Dequantize) for node in graph.nodes)


class Weighted(nn.Module):
    """A convolution whose weight is int8 along `axis`, or with one scale for all of it."""

    numbers: torch.Tensor

    def __init__(self, axis: int | None, zero: int = 0) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.arange(-8, 8, dtype=torch.int8).reshape(4, 4, 1, 1))
        self.register_buffer("scale", torch.tensor([0.1, 0.2, 0.3, 0.4]))
        self.register_buffer("zero", torch.full((4,), zero))
        self.axis, self.only = axis, zero

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.axis is None:
            weight = DEQUANTIZE(self.numbers, 0.1, self.only, -128, 127, torch.int8)
        else:
            held = self.numbers, self.scale, self.zero
            weight = DEQUANTIZE_CHANNELS(*held, self.axis, -128, 127, torch.int8)
        return F.conv2d(x, weight)


@pytest.mark.parametrize(
    ("network", "scales"),
    [
        (Weighted(0), [0.1, 0.2, 0.3, 0.4]),
        (Weighted(None), [0.1] * 4),
        (Weighted(1), None),
        (Weighted(0, zero=2), None),
        (Weighted(None, zero=2), None),
    ],
)
def test_symmetric_weights_of_filters_stay_int8(
    network: Weighted, scales: list[float] | None
) -> None:
    graph, known = lower(capture(network, (X,)))
    (conv,) = graph.nodes
    assert isinstance(conv, Conv)
    narrow = known.narrow.get(conv)
    if scales is None:
        assert narrow is None
        return
    assert narrow is not None
    assert narrow.numbers.tolist() == network.numbers.tolist()
    assert narrow.scale == pytest.approx(scales)


def test_a_network_without_quantisations_is_not_touched() -> None:
    graph, known = lower(capture(nn.Conv2d(4, 4, 1), (X,)))
    before = list(graph.nodes)
    assert join_bytes(graph, known.narrow) == []
    assert graph.nodes == before
