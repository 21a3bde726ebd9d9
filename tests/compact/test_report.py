"""What a report says in words."""

import torch
from channel_networks import Around
from torch import nn

from openwork.compact import compact


def test_operators_that_are_not_understood_are_named() -> None:
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cumsum(x, 1)

    model = nn.Sequential(Around(Sums()), nn.ReLU(), Around(end=Sums()))
    model[2].conv = nn.Conv2d(4, 8, 1)
    _, report = compact(model, torch.rand(2, 3, 12, 12))
    notes = [note for note in report.layers.notes if "not understood" in note]
    assert [note.partition(": ")[2] for note in notes] == ["aten.cumsum.default in 0.body (3)"]
