"""Where the outputs of batch norms are seen to go."""

import torch
from torch import nn

from openwork._call import Call
from openwork.nn.norms.watch import NETWORK, watch


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = (nn.BatchNorm2d(2) for _ in range(3))
        self.last, self.act = nn.BatchNorm2d(2), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.first(x))
        z = self.second(y)
        y = z * 2 + y
        y += z
        return self.last(y)


def test_every_use_is_seen_once_with_its_module() -> None:
    block = _Block()
    uses, outputs = watch(block, Call(torch.randn(3, 2, 4, 4)))
    assert uses.users[block.first] == [(block.act, "relu")]
    assert [user for user, _ in uses.users[block.second]] == [block, block]
    assert uses.users[block.last] == [(None, NETWORK)]
    assert block.unused not in uses.users
    assert [uses.calls[m] for m in (block.act, block.first, block.unused)] == [1, 1, 0]
    assert outputs[0].shape == (3, 2, 4, 4)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in block.modules())
