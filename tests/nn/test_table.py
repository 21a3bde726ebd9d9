"""`Table` in print."""

from rich.console import Console

from openwork.nn import Table

TABLE = Table(
    ("layer", "weights", "density"),
    (("a" * 60, 1_234_567, 0.12345), ("[bold]b", 2, None)),
    ("total", 1_234_569, 0.5),
    ("left: [c]",),
)


def test_numbers_are_readable_and_names_are_not_markup() -> None:
    text = str(TABLE)
    assert "1,234,567" in text
    assert "0.1235" in text
    assert "[bold]b" in text
    assert "left: [c]" in text
    assert TABLE.column("weights") == [1_234_567, 2]


def test_no_line_is_broken_in_a_narrow_window() -> None:
    console = Console(width=30, color_system=None)
    with console.capture() as capture:
        TABLE.print(console)
    assert "a" * 60 in capture.get()
    assert console.width == 30
