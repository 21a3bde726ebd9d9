"""Lines are printed as they are, however long and whatever they look like."""

import pytest

from openwork.cli.say import say, say_error
from openwork.errors import OpenworkError
from openwork.nn import Table
from openwork.train import EpochMetrics
from openwork.train.progress import ProgressBar


@pytest.mark.parametrize("error", [False, True])
def test_neither_markup_nor_wrapping(capsys: pytest.CaptureFixture[str], error: bool) -> None:
    text = "[bold]path[/c] " + "x" * 300
    say(text, error=error)
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == (("", text + "\n") if error else (text + "\n", ""))


HOSTILE = "a\x1b[2J\x07 [bold]b[/bold] :boom: \u202ec\udcff\r"
SHOWN = "a\\x1b[2J\\x07 [bold]b[/bold] :boom: \\u202ec\\udcff\\r"


def test_what_a_terminal_obeys_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE + "\nb")
    say_error(OpenworkError(HOSTILE + "\nb"))
    seen = capsys.readouterr()
    assert seen.out == SHOWN + "\\nb\n"
    assert seen.err == f"error: {SHOWN}\nb\n"


def test_tables_and_bars_show_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table((HOSTILE, "n"), ((HOSTILE, 1),), (HOSTILE, 2), (HOSTILE,), HOSTILE)
    assert str(table).count(SHOWN) == 5
    with ProgressBar(HOSTILE, 1, 1, 0, shown=True) as bar:
        bar.epoch(EpochMetrics(1, 0.1, 1.0, 0.5, 1.0, 0.5, 1.0))
    printed = capsys.readouterr().err
    assert SHOWN in printed.replace("\n", " ")
    assert not {"\x07", "\u202e", "\udcff"} & set(printed)
