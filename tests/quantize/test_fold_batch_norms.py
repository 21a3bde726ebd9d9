"""Batch norms fold into the layer that they alone read, and nowhere else."""

import pytest
import torch
from torch import nn

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.net import Net, name_of, net_of


class _Norms(nn.Module):
    def __init__(self, bias: bool, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, groups=2, bias=bias)
        self.norm = nn.BatchNorm2d(6, affine=affine)
        self.twice, self.after = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)
        self.norm.running_var = torch.rand(6) + 1e-3
        self.after.running_mean = torch.rand(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.twice(self.norm(self.conv(x)))
        return self.after(x) + x


def _folded(model: nn.Module) -> Net:
    net = net_of(capture(model, call_of(model, torch.randn(2, 2, 7, 7))))
    fold_batch_norms_(net)
    return net


@torch.no_grad()
@pytest.mark.parametrize(("bias", "affine"), [(False, True), (True, False)])
def test_outputs_stay_and_one_norm_is_left(bias: bool, affine: bool) -> None:
    torch.manual_seed(0)
    model = _Norms(bias, affine).eval()
    net, x = _folded(model), torch.randn(3, 2, 9, 9)
    assert torch.allclose(net.outputs([x])[0], model(x), rtol=1e-4, atol=1e-4)
    # The other layer is read without its norm too.
    assert sum("batch_norm" in name_of(node) for node in net.graph.nodes) == 1
