"""`CompactReport`: differences, the table and the notes."""

import torch
from channel_networks import Around
from torch import nn

from openwork.compact import CompactReport, compact
from openwork.nn import Table
from openwork.verify import OutputDifference


def test_operators_that_are_not_understood_are_named() -> None:
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cumsum(x, 1)

    model = nn.Sequential(Around(Sums()), nn.ReLU(), Around(end=Sums()))
    model[2].conv = nn.Conv2d(4, 8, 1)
    _, report = compact(model, torch.rand(2, 3, 12, 12))
    notes = [note for note in report.layers.notes if "not understood" in note]
    assert [note.partition(": ")[2] for note in notes] == ["aten.cumsum.default in 0.body (3)"]


def test_the_largest_difference_and_the_counts_are_reported() -> None:
    cases = (
        OutputDifference("given", (2, 3), 0.5, 1e-6),
        OutputDifference("random", (2, 3), 0.25, 3e-6),
    )
    report = CompactReport(cases, Table(("layer",), ()), (10, 5), (20, 9), "", 0)
    assert (report.absolute, report.relative) == (0.5, 3e-6)


@torch.no_grad()
def test_reasons_are_counted_by_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    model.get_parameter("0.weight")[:3] = 0
    model.get_parameter("0.bias")[:3] = torch.tensor([0, 0, 0.5])
    model.get_parameter("2.weight")[:, 3] = 0
    _, report = compact(model, torch.rand(2, 3, 12, 12))
    assert report.layers.columns == ("layer", "in", "out", "zero", "constant", "unread")
    assert report.layers.rows[0] == ("0", "3 -> 3", "8 -> 4", 2, 1, 1)
    assert report.layers.rows[1][:3] == ("2", "8 -> 4", "4 -> 4")
    assert report.parameters == (8 * 4 + 4 * 9, 4 * 4 + 4 * 5)
    assert report.macs == (144 * (24 + 32), 144 * (12 + 16))
    assert report.kept == 0
