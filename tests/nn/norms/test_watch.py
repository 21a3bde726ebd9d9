"""Where the outputs of batch norms are seen to go."""

import torch
from torch import nn

from openwork._call import Call
from openwork.nn.norms.watch import NETWORK, Use, watch


def _seen(uses: list[Use]) -> list[tuple[nn.Module | None, str]]:
    return [(use.module, use.name) for use in uses]


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
    assert _seen(uses.users[block.first]) == [(block.act, "relu")]
    assert _seen(uses.users[block.second]) == [(block, "mul"), (block, "add_")]
    assert uses.users[block.second][0].of_sum is None
    assert _seen(uses.users[block.last]) == [(None, NETWORK)]
    assert block.unused not in uses.users
    assert [uses.calls[m] for m in (block.first, block.unused)] == [1, 0]
    assert outputs[0].shape == (3, 2, 4, 4)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in block.modules())


class _Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.BatchNorm2d(2) for _ in range(3))
        self.fourth, self.fifth, self.sixth = (nn.BatchNorm2d(2) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = self.fifth(x)
        x = v + self.sixth(v)
        y = self.first(x) + self.second(x)
        z = self.third(x)
        z += y.relu()
        u = x + 1
        u += self.fourth(x)
        return (z.relu_() + u.relu()) * 2


def test_uses_of_sums_are_seen() -> None:
    block = _Sums()
    uses, _ = watch(block, Call(torch.randn(3, 2, 4, 4)))
    first, second, third = (uses.users[m] for m in (block.first, block.second, block.third))
    assert _seen(first) == _seen(second) == [(block, "add")]
    assert _seen(first[0].of_sum or []) == [(block, "relu")]
    assert second[0].of_sum is None
    assert _seen(third) == [(block, "add_")]
    assert _seen(third[0].of_sum or []) == [(block, "relu_")]
    # As where a block's input is a norm's output.
    assert _seen(uses.users[block.fifth])[-1] == (block, "add")
    assert all(use.of_sum is None for use in uses.users[block.fifth])
    assert _seen(uses.users[block.sixth]) == [(block, "add")]
    assert len(uses.users[block.sixth][0].of_sum or []) > 3
    # Another tensor is added to, which must hold the sum at once.
    assert _seen(uses.users[block.fourth]) == [(block, "add_")]
    assert uses.users[block.fourth][0].of_sum is None
