"""What sparse convolutions over one and two axes share."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseConv1d, SparseConv2d
from openwork.patterns import random

KINDS = [
    pytest.param(SparseConv1d, random(4, 2, (1, 3), 0.5), (2, 2, 7), id="1-D"),
    pytest.param(SparseConv2d, random(4, 2, 3, 0.5), (2, 2, 7, 6), id="2-D"),
]


@pytest.mark.parametrize(("kind", "pattern", "shape"), KINDS)
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_torch_fx_traces_them(kind: Any, pattern: Any, shape: tuple[int, ...], mode: str) -> None:
    model = nn.Sequential(kind(pattern, padding="same", padding_mode=mode), nn.ReLU())
    x = torch.randn(shape)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.parametrize(("kind", "pattern", "shape"), KINDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "`stride`=0 must be a whole number of at least 1"),
        ({"dilation": (1, 1, 1)}, r"`dilation`=\(1, 1, 1\) must be a whole number of at least 1"),
        ({"padding": 1.5}, "`padding`=1.5"),
        ({"padding": "full"}, "`padding`='full' must be one of"),
        ({"padding": "same", "stride": 2}, "`padding`='same' needs stride 1, not .*2"),
        ({"padding_mode": "mirror"}, "`padding_mode`='mirror' must be one of"),
    ],
)
def test_bad_geometry_is_refused(
    kind: Any, pattern: Any, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        kind(pattern, **options)
