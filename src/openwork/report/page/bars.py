"""Tables: of facts, of numbers, of bars and of small lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openwork.report.page.chart import spark
from openwork.report.page.markup import Markup, joined, tag


def facts(rows: Iterable[tuple[str, object]]) -> Markup:
    """What is known, one line each."""
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows]
    return tag("table", tag("tbody", *lines), class_="facts")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """A table whose first column holds names; numbers are put to the right.

    Wider than its place, it scrolls.
    """
    rows = [list(row) for row in rows]
    numeric = [
        bool(rows) and all(isinstance(r[k], int | float | None) for r in rows)
        for k in range(len(columns))
    ]
    style = ["num" if each else None for each in numeric]
    head = [
        tag("th", name, class_=each, scope="col") for name, each in zip(columns, style, strict=True)
    ]
    body = [
        tag(
            "tr",
            tag("th", said(row[0]), scope="row"),
            *(tag("td", said(v), class_=s) for v, s in zip(row[1:], style[1:], strict=True)),
        )
        for row in rows
    ]
    whole = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", whole, class_="wide")


def stored_table(held: Mapping[str, Any]) -> Markup:
    """A table as `Table.plain` wrote it, with its notes."""
    rows = [*held["rows"], *([held["total"]] if held.get("total") else [])]
    notes = [tag("p", note, class_="note") for note in held.get("notes") or ()]
    return joined(table(held["columns"], rows), *notes)


def bars(rows: Sequence[tuple[str, Sequence[float | None], str]], highest: float) -> Markup:
    """A bar for each row: its name, one or two lengths (the wider, paler one first), and words.

    Args:
        rows: the lengths are not negative; None draws nothing.
        highest: the length of a full bar.
    """
    lines = []
    for name, lengths, words in rows:
        shares = [min(100 * (length or 0.0) / (highest or 1.0), 100.0) for length in lengths]
        track = tag("div", *(tag("i", style=f"width:{s:.2f}%") for s in shares), class_="track")
        end = tag("td", words, class_="num")
        lines.append(tag("tr", tag("th", name, scope="row"), tag("td", track), end))
    return tag("table", tag("tbody", *lines), class_="bars")


def sparks(rows: Sequence[tuple[str, Sequence[float], str]], highest: float = 1.0) -> Markup:
    """A small line for each row: its name, its values over time, and words at the end."""
    lines = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", spark(values, highest)),
            tag("td", words, class_="num"),
        )
        for name, values, words in rows
    ]
    return tag("table", tag("tbody", *lines), class_="bars")


def said(value: Any) -> object:
    """A value of a table in words."""
    if value is None:
        return ""
    if isinstance(value, bool | Markup):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value
