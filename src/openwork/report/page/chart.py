"""Lines over epochs and dots of candidates, as SVG that a page holds or that is a file alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openwork._terminal import visible
from openwork.report.page.markup import Markup, joined, tag
from openwork.report.page.style import CHART

_WIDTH, _LEFT, _RIGHT, _TOP = 420, 48, 12, 30
_PLOT = 170
# Width of a digit.
_DIGIT = 6.5
_ROW = 16
# More points of a line cannot be told apart at this width.
_MOST_POINTS = 800
_MOST_DOTS = 2_000
_MARKED = 12
_COLORS = 6


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), in order; those that are not finite are left out.
    """

    name: str
    points: Sequence[tuple[float, float]]

    @property
    def drawn(self) -> list[tuple[float, float]]:
        """What is drawn: finite points, thinned out to what can be told apart, with the last."""
        finite = [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]
        step = -(-len(finite) // _MOST_POINTS) or 1
        return finite if step == 1 else [*finite[:-1:step], finite[-1]]


def lines(
    title: str, curves: Sequence[Curve], x_label: str, form: Callable[[float], str]
) -> Markup | None:
    """A chart of lines, with a legend below it; None if there is no point to draw.

    Args:
        title: what the height of the lines is.
        curves: any number; after six the colours come again, dashed.
        x_label: what lies along the bottom; its ticks are whole numbers.
        form: a value of the vertical axis in words.
    """
    drawn = [(index, curve, curve.drawn) for index, curve in enumerate(curves) if curve.drawn]
    points = [point for _, _, held in drawn for point in held]
    if not points:
        return None
    rows = ticks(min(p[1] for p in points), max(p[1] for p in points))
    left = max(_LEFT, 8 + round(_DIGIT * max(len(form(row)) for row in rows)))
    x = _Scale.over([p[0] for p in points], left, _WIDTH - _RIGHT)
    y = _Scale(rows[0], rows[-1], _TOP + _PLOT, _TOP)
    parts = [_grid(rows, left, y, form), _whole_ticks(x, x_label)]
    parts += [_curve(index, held, x, y) for index, _, held in drawn]
    bottom = _TOP + _PLOT + 44
    names = len(drawn) > 1
    if names:
        parts += [_key(i, curve.name, bottom + _ROW * k) for k, (i, curve, _) in enumerate(drawn)]
    height = bottom + _ROW * (len(drawn) if names else 0) - (0 if names else 6)
    return _svg(title, height, parts)


@dataclass(frozen=True)
class Row:
    """A line of dots.

    Attributes:
        name: beside it.
        values: (label, value) of each dot.
        best: label of the one to mark, or None.
    """

    name: str
    values: Sequence[tuple[str, float]]
    best: str | None = None


def dots(title: str, rows: Sequence[Row], x_label: str, form: Callable[[float], str]) -> Markup:
    """A chart with a row of dots for each of `rows`, along one scale."""
    low = min(value for row in rows for _, value in row.values)
    high = max(value for row in rows for _, value in row.values)
    marks = ticks(low, high)
    x = _Scale(marks[0], marks[-1], _LEFT + 34, _WIDTH - _RIGHT - 6)
    height = _TOP + 46 * len(rows)
    parts = [
        joined(
            tag("line", class_="grid", x1=at, x2=at, y1=_TOP - 4, y2=height),
            tag("text", form(mark), x=at, y=height + 15, text_anchor="middle"),
        )
        for mark in marks
        for at in [round(x(mark), 1)]
    ]
    parts.append(tag("text", x_label, x=_WIDTH - _RIGHT, y=height + 31, text_anchor="end"))
    for index, row in enumerate(rows):
        middle = _TOP + 46 * index + 22
        parts.append(tag("text", _short(row.name, 14), x=0, y=middle + 4))
        others = [value for value in row.values if value[0] != row.best]
        # The best one last, on top of the others.
        drawn = [*others[:_MOST_DOTS], *(v for v in row.values if v[0] == row.best)]
        parts += [_dot(k, v, row.best, x, middle) for k, v in enumerate(drawn)]
    return _svg(title, height + 38, parts)


def spark(values: Sequence[float], highest: float = 1.0) -> Markup:
    """A line without axes, from 0 to `highest`, as wide as its place."""
    points = Curve("", [(float(k), v) for k, v in enumerate(values)]).drawn
    points = points if len(points) > 1 else [(0.0, points[0][1]), (1.0, points[0][1])]
    across = points[-1][0]
    x, y = _Scale(0, across, 0, 100), _Scale(0, highest or 1.0, 23, 1)
    path = "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
    drawn = tag("path", d=path)
    return tag(
        "svg", drawn, class_="spark", viewBox="0 0 100 24", preserveAspectRatio="none", role="img"
    )


def picture(charts: Sequence[Markup]) -> str:
    """An SVG file with `charts` beside each other, two in a row."""
    heights = [int(chart.partition('height="')[2].partition('"')[0]) for chart in charts]
    gap, placed, top = 16, [], 16
    for start in range(0, len(charts), 2):
        for k, chart in enumerate(charts[start : start + 2]):
            left = gap + k * (_WIDTH + 2 * gap)
            placed.append(tag("g", chart, transform=f"translate({left} {top})"))
        top += max(heights[start : start + 2]) + gap
    width = min(len(charts), 2) * (_WIDTH + 2 * gap)
    back = tag("rect", width="100%", height="100%", fill="var(--paper)")
    style = tag("style", Markup(CHART))
    size = {"viewBox": f"0 0 {width} {top}", "width": width, "height": top}
    return tag("svg", style, back, *placed, xmlns="http://www.w3.org/2000/svg", **size) + "\n"


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    first: float
    last: float

    @classmethod
    def over(cls, values: Sequence[float], first: float, last: float) -> "_Scale":
        return cls(min(values), max(values), first, last)

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.first + self.last) / 2
        share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers, at most `most` + 1, the first at or below `low`, the last at or above `high`.

    >>> ticks(0.12, 0.57)
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    """
    span = high - low
    if not span > abs(high) * 1e-9:
        span = abs(high) * 0.1 or 1.0
        low, high = low - span / 2, high + span / 2
    unit = 10.0 ** math.floor(math.log10(span / most))
    for step in (unit, 2 * unit, 5 * unit, 10 * unit, 20 * unit):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most:
            break
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def _grid(rows: Sequence[float], left: int, y: _Scale, form: Callable[[float], str]) -> Markup:
    return joined(
        *(
            joined(
                tag("line", class_="grid", x1=left, x2=_WIDTH - _RIGHT, y1=at, y2=at),
                tag("text", form(row), x=left - 6, y=at + 4, text_anchor="end"),
            )
            for row in rows
            for at in [round(y(row), 1)]
        )
    )


def _whole_ticks(x: _Scale, label: str) -> Markup:
    low, high = math.ceil(x.low), math.floor(x.high)
    step = max(1, -(-(high - low) // 6))
    bottom = _TOP + _PLOT
    return joined(
        *(
            tag("text", f"{k:,}", x=round(x(k), 1), y=bottom + 15, text_anchor="middle")
            for k in range(low, high + 1, step)
        ),
        tag("text", label, x=_WIDTH - _RIGHT, y=bottom + 30, text_anchor="end"),
    )


def _curve(index: int, held: Sequence[tuple[float, float]], x: _Scale, y: _Scale) -> Markup:
    path = "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in held)
    color = f"var(--c{index % _COLORS})"
    dash = "5 4" if index >= _COLORS else None
    marks = [
        tag("circle", cx=round(x(a), 1), cy=round(y(b), 1), r=3, fill=color)
        for a, b in held
        if len(held) <= _MARKED
    ]
    return joined(tag("path", class_="curve", d=path, stroke=color, stroke_dasharray=dash), *marks)


def _key(index: int, name: str, top: float) -> Markup:
    color, dash = f"var(--c{index % _COLORS})", "5 4" if index >= _COLORS else None
    place = {"x1": _LEFT, "x2": _LEFT + 18, "y1": top, "y2": top}
    return joined(
        tag("line", stroke=color, stroke_width=2, stroke_dasharray=dash, **place),
        tag("text", _short(name, 58), x=_LEFT + 24, y=top + 4),
    )


def _dot(
    index: int, value: tuple[str, float], best: str | None, x: _Scale, middle: float
) -> Markup:
    label, at = value
    is_best = label == best
    # Spread in height, so that equal values can be seen.
    lift = 0 if is_best else (index * 7919 % 29) - 14
    return tag(
        "circle",
        tag("title", label),
        class_="dot best" if is_best else "dot",
        cx=round(x(at), 1),
        cy=middle + lift,
        r=5 if is_best else 3.5,
        fill=f"var(--c{1 if is_best else 0})",
    )


def _short(text: str, most: int) -> str:
    text = visible(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(title: str, height: int, parts: Sequence[Markup]) -> Markup:
    head = tag("text", title, class_="title", x=0, y=13)
    size = {"viewBox": f"0 0 {_WIDTH} {height}", "width": _WIDTH, "height": height}
    return tag("svg", tag("title", title), head, *parts, role="img", **size)
