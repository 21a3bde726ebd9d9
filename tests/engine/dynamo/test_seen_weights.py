"""`SeenWeights`: which changes of weights are seen."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork.engine.dynamo.seen_weights import SeenWeights


def _tensors() -> list[torch.Tensor]:
    torch.manual_seed(0)
    channels_last = torch.randn(4, 8, 3, 3).to(memory_format=torch.channels_last)
    return [
        nn.Parameter(torch.randn(70, 50)),
        nn.Parameter(channels_last),
        torch.randn(6),
        torch.tensor(3),
        torch.tensor(float("nan")),
        torch.empty(0),
    ]


def test_nothing_changed() -> None:
    tensors = _tensors()
    seen = SeenWeights(tensors)
    assert seen.are(tensors)
    assert not seen.are([each.clone() for each in tensors])
    assert not seen.are(tensors[::-1])


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    "write",
    [
        lambda each: each.data.mul_(2).add_(1),
        lambda each: each.detach().numpy().__iadd__(1),
        lambda each: each.detach().add_(1),
    ],
)
def test_writes_are_seen(write: Callable[[torch.Tensor], object], number: int) -> None:
    tensors = _tensors()
    # A NaN stays one.
    tensors[4].fill_(0.0)
    seen = SeenWeights(tensors)
    write(tensors[number])
    assert not seen.are(tensors)


def test_another_memory_is_seen() -> None:
    tensors = _tensors()
    seen = SeenWeights(tensors)
    tensors[0].data = tensors[0].data.clone()
    assert not seen.are(tensors)
