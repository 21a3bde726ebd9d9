"""Lines are printed as they are, however long and whatever they look like."""

import pytest

from openwork.cli.say import say


@pytest.mark.parametrize("error", [False, True])
def test_neither_markup_nor_wrapping(capsys: pytest.CaptureFixture[str], error: bool) -> None:
    text = "[bold]path[/c] " + "x" * 300
    say(text, error=error)
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == (("", text + "\n") if error else (text + "\n", ""))
