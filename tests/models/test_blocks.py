"""Building blocks: the sizes that go through them."""

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.models import ModelSource
from openwork.models.blocks import (
    conv_stack,
    flat_head,
    global_head,
    halve,
    halve_overlapping,
    network,
    require_image_size,
)

SOURCE = ModelSource("x", num_classes=7, in_channels=2, image_size=9, depth_multiplier=0.5)


def test_pools_round_down_and_up() -> None:
    image = torch.zeros(1, 1, 9, 9)
    assert halve()(image).shape[-1] == 4
    assert halve_overlapping()(image).shape[-1] == 5


@pytest.mark.parametrize("norm", [True, False])
def test_a_stack_follows_its_layout(norm: bool) -> None:
    layers, channels = conv_stack(SOURCE, [8, "M", 16], norm=norm)
    assert channels == 8
    assert layers(torch.zeros(2, 2, 9, 9)).shape == (2, 8, 4, 4)
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [4, 8]
    assert all((m.bias is None) is norm for m in convolutions)


def test_heads_end_in_the_classes() -> None:
    flat = flat_head(SOURCE, 8 * 4 * 4, hidden=[10])
    assert flat(torch.zeros(2, 8, 4, 4)).shape == (2, 7)
    assert [m.out_features for m in flat if isinstance(m, nn.Linear)] == [5, 7]
    whole = network(halve(), global_head(SOURCE, 8))
    assert [name for name, _ in whole.named_children()] == ["features", "classifier"]
    assert whole(torch.zeros(2, 8, 4, 4)).shape == (2, 7)


def test_an_image_that_would_vanish_is_refused() -> None:
    require_image_size(SOURCE, 9, "it halves")
    with pytest.raises(ArgumentError, match="`x` needs at least 10, because it halves"):
        require_image_size(SOURCE, 10, "it halves")
