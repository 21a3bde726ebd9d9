"""`SSCBlock`: the two ways to mix groups are one function, and every input reaches every output."""

import pytest
import torch
from parts import part
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseConv2d, SSCBlock


@pytest.mark.parametrize("stride", [1, 2])
def test_rotating_and_shuffled_blocks_compute_the_same(stride: int) -> None:
    torch.manual_seed(0)
    rotating = SSCBlock(8, 16, stride=stride, groups=4, taps=2)
    shuffled = SSCBlock(8, 16, stride=stride, groups=4, taps=2, mix="shuffle")
    order = nn.ChannelShuffle(4)(torch.arange(16.0).view(1, 16, 1, 1)).long().flatten()
    with torch.no_grad():
        # Filter n after the shuffle is filter order[n] before it.
        weight = shuffled.get_parameter("conv.weight").view(16, -1)
        rotating.get_parameter("conv.weight").copy_(weight[order].flatten())
    x = torch.randn(2, 8, 7, 9)
    assert torch.equal(rotating(x), shuffled(x))
    assert rotating(x).shape == (2, 16, -(-7 // stride), -(-9 // stride))


@pytest.mark.parametrize("mix", ["rotate", "shuffle"])
def test_after_two_blocks_every_input_reaches_every_output(mix: str) -> None:
    torch.manual_seed(0)
    blocks = nn.Sequential(*(SSCBlock(16, 16, groups=4, taps=9, mix=mix) for _ in range(2))).eval()
    for block in blocks:
        assert isinstance(block, SSCBlock)
        nn.init.ones_(block.get_parameter("conv.weight"))
    x = torch.ones(1, 16, 5, 5, requires_grad=True)
    for output in blocks(x)[0, :, 2, 2]:
        (reached,) = torch.autograd.grad(output, x, retain_graph=True)
        assert (reached[0].sum(dim=(1, 2)) > 0).all()


def test_a_block_is_a_sparse_layer_with_norm_and_relu() -> None:
    block = SSCBlock(8, 12, (1, 5), groups=4, taps=1)
    assert [name for name, _ in block.named_children()] == ["conv", "norm", "relu"]
    conv = block.get_submodule("conv")
    assert isinstance(conv, SparseConv2d)
    assert conv.padding == (0, 2)
    assert conv.bias is None
    assert conv.weight.numel() == 12 * 8 // 4
    assert "shuffle" not in dict(SSCBlock(8, 12, mix="shuffle").named_children())
    assert part(SSCBlock(8, 12, taps=None), "conv", SparseConv2d).pattern.density == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 4}, "`kernel`=4 must be odd.* nearest: 3 or 5"),
        ({"mix": "stir"}, "'rotate', 'shuffle'"),
        ({"groups": 3}, "feasible: 1, 2, 4"),
        ({"taps": 10}, "at most 9"),
    ],
)
def test_bad_parameters_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        SSCBlock(8, 12, **arguments)
