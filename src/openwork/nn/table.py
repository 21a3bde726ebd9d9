"""`Table`: one row per layer, and totals; printed, or read by column."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.segment import Segments
from rich.text import Text

from openwork._terminal import literal


@dataclass(frozen=True)
class Table:
    """A table with a name in the first column and numbers after it.

    Attributes:
        columns: headings.
        rows: values, one per heading in each row.
        total: the last line, or None.
        notes: lines printed below the table.
        title: a line printed above the table.
        justify: "right" (default) for numbers, "left" for words, in all columns but the first.

    >>> Table(("layer", "weights"), (("conv1", 432), ("conv2", 4608))).column("weights")
    [432, 4608]
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()
    title: str = ""
    justify: Literal["left", "right"] = "right"

    def column(self, heading: str) -> list[Any]:
        """The values under `heading`, without the total."""
        index = self.columns.index(heading)
        return [row[index] for row in self.rows]

    def plain(self) -> dict[str, Any]:
        """The table as JSON can store it."""
        rows = [list(row) for row in self.rows]
        total = None if self.total is None else list(self.total)
        return {
            "columns": list(self.columns),
            "rows": rows,
            "total": total,
            "notes": list(self.notes),
        }

    def render(self) -> rich_table.Table:
        """The table as a rich renderable."""
        title = literal(self.title) if self.title else None
        table = rich_table.Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for index, heading in enumerate(map(_text, self.columns)):
            table.add_column(heading, justify="left" if index == 0 else self.justify, no_wrap=True)
        for row in self.rows:
            table.add_row(*map(_text, row))
        if self.total is not None:
            table.add_section()
            table.add_row(*map(_text, self.total), style="bold")
        return table

    def print(self, console: Console | None = None) -> None:
        """Print to `console`, by default standard output."""
        console = console or Console()
        table = self.render()
        # A number broken over two lines is unreadable; a line longer than the window is not.
        wide = console.options.update(max_width=10_000)
        wide = wide.update(width=console.measure(table, options=wide).maximum)
        console.print(Segments(console.render(table, wide)), soft_wrap=True)
        for note in self.notes:
            console.print(literal(note), soft_wrap=True)

    def __str__(self) -> str:
        console = Console(width=140, color_system=None, force_terminal=False)
        with console.capture() as capture:
            self.print(console)
        return capture.get()


def _text(value: Any) -> str | Text:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return literal(str(value), keep="")


def joined(values: np.ndarray) -> str:
    """`lowest-highest` of `values` (n,), or their common value."""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"
