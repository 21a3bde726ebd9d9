"""Tensors with nothing in them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around

from openwork.compact import compact

EXAMPLE = torch.rand(2, 3, 12, 12)
BODIES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "split": (lambda x: torch.cat(torch.split(F.relu(x), [8, 0], 1), 1), 8),
    "no rows": (lambda x: torch.cat([x[:, :, :0], x], 2), 5),
    "activated": (lambda x: torch.cat([F.relu(x[:, :, :0]) + 1, x], 2), 8),
    "summed": (lambda x: x + x[:, :, :0].sum((2, 3), keepdim=True), 8),
    "one axis": (lambda x: torch.cat([torch.empty(0), x], 1), 8),
}


@pytest.mark.parametrize("name", BODIES)
def test_empty_tensors_on_the_way(name: str) -> None:
    body, channels = BODIES[name]
    model = Around(body).eval()
    small, _ = compact(model, EXAMPLE)
    assert small.conv.out_channels == channels
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


def test_empty_outputs() -> None:
    def end(y: torch.Tensor) -> Any:
        return y, y[:, :0]

    assert compact(Around(end=end), EXAMPLE)[0].conv.out_channels == 5
