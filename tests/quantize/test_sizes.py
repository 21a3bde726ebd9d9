"""Whether a captured network serves other batches and images is tried, not assumed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork._call import call_of
from openwork.capture import BatchSizes, capture
from openwork.quantize.net import net_of
from openwork.quantize.sizes import batches_of, takes_other_sizes


class _Doubled(nn.Module):
    def __init__(self, computed: bool) -> None:
        super().__init__()
        self.conv, self.computed = nn.Conv2d(3, 4, 3), computed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if self.computed:
            return F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2)).mean((2, 3))
        return F.interpolate(x, scale_factor=2.0).mean((2, 3))


@pytest.mark.parametrize("computed", [True, False])
def test_sizes_that_are_computed_are_constants(computed: bool) -> None:
    model = _Doubled(computed).eval()
    call = call_of(model, torch.randn(4, 3, 9, 9))
    net = net_of(capture(model, call))
    assert takes_other_sizes(model, net, call, BatchSizes()) is not computed


def test_vectors_and_fixed_layers_have_one_size() -> None:
    for model, x in (
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.randn(2, 3, 4, 4)),
        (nn.Sequential(nn.Linear(8, 2)), torch.randn(2, 8)),
    ):
        call = call_of(model.eval(), x)
        assert not takes_other_sizes(model, net_of(capture(model, call)), call, BatchSizes())


class _Alone(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) if len(x) == 1 else x.amax((2, 3))


@pytest.mark.parametrize(("model", "least"), [(_Alone(), 2), (_Doubled(True), 1)])
def test_one_image_is_tried(model: nn.Module, least: int) -> None:
    call = call_of(model.eval(), torch.randn(4, 3, 9, 9))
    found = batches_of(model, net_of(capture(model, call)), call, BatchSizes())
    assert found == BatchSizes(least)
