"""What is printed is seen: nothing in it is obeyed by a terminal or by rich."""

import io

import pytest
from rich.console import Console

from openwork._terminal import Notice, counted, literal, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv1.weight", "conv1.weight"),
        ("größe 3×3 畳み込み 🙂", "größe 3×3 畳み込み 🙂"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\bc\x7f", "a\\rb\\x08c\\x7f"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028end\u2029", "line\\u2028end\\u2029"),
        ("not UTF-8: \udcff", "not UTF-8: \\udcff"),
        ("tag \U000e0041", "tag \\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_is_written_out(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert visible(text, keep="\n") == expected.replace("\\n", "\n")


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", ":smile: :boom:", "[link=a]b", "\\[x]"])
def test_rich_reads_nothing_into_it(text: str) -> None:
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=True, color_system="truecolor").print(
        literal(text), soft_wrap=True
    )
    assert file.getvalue() == text + "\n"


def test_one_is_singular() -> None:
    assert counted(1, "thread") == "1 thread"
    assert counted(0, "thread") == "0 threads"
    assert counted(1200, "class", "classes") == "1,200 classes"
    assert counted(1, "class", "classes") == "1 class"


class _Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_is_announced_once_and_on_a_terminal_only(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = _Screen(terminal)
    monkeypatch.setattr("sys.stderr", screen)
    notice = Notice("measuring")
    for third in (False, False, True):
        notice.spent(0.9)
        assert screen.getvalue() == ("measuring\n" if terminal and third else "")
    notice.spent(5)
    assert screen.getvalue() == "measuring\n" * terminal


def test_no_standard_error_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    notice = Notice("measuring")
    notice.spent(3)
    assert notice._spent == 3
