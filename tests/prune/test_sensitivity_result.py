"""The table, the picture (`sensitivity_picture`), and what a loss allows."""

from pathlib import Path

import pytest
from PIL import Image

from openwork.errors import ArgumentError
from openwork.nn import Plan
from openwork.prune import LayerSensitivity, Sensitivity


def _result() -> Sensitivity:
    layers = (
        LayerSensitivity(("a",), 8, (0.2, 0.15, 0.5)),
        LayerSensitivity(("b", "c"), 4, (0.3, 0.4, None)),
    )
    ratios = (0.25, 0.5, 0.75)
    return Sensitivity(
        "kernel", "l1", ratios, 0.1, layers, False, lambda cut: Plan({str(cut): "dense"})
    )


def test_the_largest_ratio_within_the_loss_counts() -> None:
    assert _result().ratios_within(0.05) == {"a": 0.5, "b": 0.0, "c": 0.0}
    assert _result().ratios_within(0.3) == {"a": 0.5, "b": 0.5, "c": 0.5}
    assert list(Plan.from_sensitivity(_result(), loss=0.4).layers) == ["[0.75, 0.5]"]


def test_a_loss_that_allows_nothing_says_which_would() -> None:
    with pytest.raises(ArgumentError, match=r"least that a cut costs is 0\.05"):
        Plan.from_sensitivity(_result(), loss=0.01)


def test_the_table_has_a_row_for_each_layer_and_leaves_out_what_was_not_measured() -> None:
    table = _result().table()
    assert table.rows == (("a", 8, 0.2, 0.15, 0.5), ("b + c", 4, 0.3, 0.4, None))
    assert "0.1 without a cut" in str(_result())


def test_the_picture_is_written(tmp_path: Path) -> None:
    _result().picture(tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > 300
