"""`ChannelReport`: shares, the table, the notes and the file of the picture."""

from pathlib import Path

import pytest
import torch
from channel_networks import mixed

from openwork.errors import OpenworkError
from openwork.observe import ChannelReport, LayerChannels, observe

LAYERS = (
    LayerChannels(
        "one",
        torch.tensor([True, True, False, False]),
        torch.tensor([True, False, False, False]),
        torch.tensor([0.0, 0.25, 0.75, 1.0]),
    ),
    LayerChannels("two", None, torch.tensor([True, True]), torch.tensor([0.0, 0.0])),
)


def test_shares_are_of_channels_not_of_layers() -> None:
    report = ChannelReport(LAYERS, 8, 1e-3, 1e-12)
    assert report.dead_by_activation() == 0.5
    assert report.dead_by_scale() == 0.5
    assert report.dead_by_scale(LAYERS[1:]) is None
    assert report.halves == (LAYERS[:1], LAYERS[1:])
    assert [layer.agreement for layer in LAYERS] == [0.75, None]


def test_the_table_has_one_row_for_each_layer() -> None:
    table = ChannelReport(LAYERS, 8, 1e-3, 1e-12).table()
    assert [row[:5] for row in table.rows] == [("one", 4, 2, 1, 0.75), ("two", 2, None, 2, None)]
    mean, sketch = table.rows[0][5:]
    assert mean == pytest.approx(2 / 3)
    # A quarter of the channels in each of four tenths.
    assert sketch == "\u2582 \u2582    \u2582 \u2582"
    assert table.rows[1][5] is None
    assert table.notes[:2] == (
        "8 images; dead by scale: |scale| < 0.001",
        "dead by activation: never above 1e-12 in any image",
    )


def test_the_report_is_printed_and_drawn(tmp_path: Path) -> None:
    report = observe(mixed(), [torch.rand(3, 2, 4, 4)], batch_size=40)
    text = str(report)
    assert "bn1" in text
    assert "early half of the layers: 75.0% dead by activation, 75.0% by scale" in text
    assert "batches of 40" in text
    report.picture(tmp_path / "o.png")
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OpenworkError, match="could not be written"):
        observe(mixed(), [torch.rand(3, 2, 4, 4)]).picture(tmp_path / "missing" / "h")
