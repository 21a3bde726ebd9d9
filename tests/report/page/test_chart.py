"""Charts: what is drawn, where, and that colours are those of the style."""

import math
import re
from xml.etree import ElementTree

import pytest

from openwork.report.page.chart import Curve, Row, dots, lines, picture, spark, ticks
from openwork.report.page.section import number
from openwork.report.page.style import CHART


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.972, 0.9731, [0.972, 0.9725, 0.973, 0.9735]),
        (3, 3, [2.8, 2.9, 3, 3.1, 3.2]),
        (0, 0, [-0.5, 0, 0.5]),
    ],
)
def test_ticks_enclose_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_goes_from_corner_to_corner() -> None:
    drawn = lines("loss", [Curve("a", [(1, 0.0), (2, 1.0)])], "epoch", number)
    assert drawn is not None
    assert 'd="M48.0 200.0L408.0 30.0"' in drawn
    assert lines("loss", [Curve("a", [(1, math.nan)])], "epoch", number) is None


def test_long_labels_have_room_left_of_the_axis() -> None:
    drawn = lines("rate", [Curve("a", [(1, 1.61e-06), (2, 1.66e-06)])], "epoch", number)
    assert drawn is not None
    root = ElementTree.fromstring(drawn)
    labels = [e for e in root.iter("text") if e.get("text-anchor") == "end" and "e-06" in e.text]  # type: ignore[operator]
    assert len(labels) > 2
    # A digit of the page's letters is 6 to 6.5 wide.
    assert all(float(e.get("x", 0)) >= 6 * len(e.text or "") for e in labels)
    axis = {float(e.get("x1", 0)) for e in root.iter("line")}
    assert len(axis) == 1
    assert f'd="M{axis.pop():.1f} ' in drawn


def test_long_lines_are_thinned_out_and_keep_their_end() -> None:
    curve = Curve("a", [(float(k), 0.0) for k in range(10_000)])
    assert len(curve.drawn) <= 801
    assert curve.drawn[-1] == (9999.0, 0.0)


def test_every_dot_has_its_label_and_the_best_is_marked() -> None:
    rows = [Row("all", [("one", 1.0), ("two", 2.0)], best="one"), Row("part", [("three", 3.0)])]
    drawn = dots("errors", rows, "error", number)
    assert drawn.count('class="dot"') == 2
    assert drawn.count('class="dot best"') == 1
    assert all(f"<title>{label}</title>" in drawn for label in ("one", "two", "three"))


def test_a_spark_of_one_value_is_a_level_line() -> None:
    assert 'd="M0.0 12.0L100.0 12.0"' in spark([0.5])


def test_a_picture_is_an_svg_file_with_known_colours() -> None:
    curves = [Curve(f"<{k}>", [(1, k), (2, k + 1)]) for k in range(8)]
    chart = lines("a", curves, "epoch", number)
    assert chart is not None
    text = picture([chart, chart, chart])
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == 3
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used == set(re.findall(r"(--\w+):", CHART)) - {"--card", "--back"}
