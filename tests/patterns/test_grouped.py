"""`grouped`: what torch's group convolution computes, as a pattern."""

import numpy as np
import pytest
import torch
from parts import known
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseConv2d
from openwork.patterns import grouped


def test_connections_are_blocks_on_the_diagonal() -> None:
    assert np.array_equal(grouped(4, 6, groups=2).taps, np.kron(np.eye(2), np.ones((2, 3))) > 0)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_computes_what_torchs_group_convolution_does(groups: int) -> None:
    theirs = nn.Conv2d(4, 8, 3, groups=groups)
    ours = SparseConv2d(grouped(8, 4, 3, groups=groups))
    with torch.no_grad():
        ours.weight.copy_(theirs.weight.flatten())
        known(ours.bias).copy_(known(theirs.bias))
    image = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(ours(image), theirs(image))


def test_depthwise_and_rotating() -> None:
    assert grouped(6, 6, 3, groups=6).density == pytest.approx(1 / 6)
    rotating = grouped(4, 4, groups=2, order="rotating")
    assert rotating.fan_in.tolist() == rotating.fan_out.tolist() == [2] * 4
    assert rotating != grouped(4, 4, groups=2)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ArgumentError, match="feasible: 1, 2"):
        grouped(4, 6, groups=4)
