"""Text that people read: names and paths, never obeyed by a terminal or rich; counted things."""

import sys
import unicodedata

from rich.text import Text

# Categories of Unicode that move the cursor, turn the direction of writing, hide or cannot be
# encoded: control, format and surrogates, and separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str, keep: str = "") -> str:
    r"""`text` with every character that a terminal obeys written as its escape, such as `\x1b`.

    Args:
        text: from anywhere.
        keep: characters that stay as they are, such as line breaks.

    Examples:
        >>> print(visible("conv\x1b[2J"))
        conv\x1b[2J
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(each)[1:-1] if unicodedata.category(each) in _UNSEEN and each not in keep else each
        for each in text
    )


def literal(text: str, keep: str = "\n") -> Text:
    """`visible` text that rich prints as it is: no markup, no emoji codes, no highlighting."""
    return Text(visible(text, keep))


def counted(count: int, thing: str, several: str = "") -> str:
    """`count` and its noun, singular or plural; `several` is a plural that is not formed with s.

    >>> counted(1, "thread"), counted(2_000, "thread"), counted(0, "class", "classes")
    ('1 thread', '2,000 threads', '0 classes')
    """
    return f"{count:,} {thing if count == 1 else several or f'{thing}s'}"


class Notice:
    """A line that is printed once, on standard error, if work takes longer than 2 s in all.

    Args:
        text: the line.
    """

    PATIENCE = 2.0

    def __init__(self, text: str) -> None:
        self._text = text
        self._spent = 0.0

    def spent(self, seconds: float) -> None:
        """Count `seconds` of work; nothing is printed where no terminal shows it."""
        before, self._spent = self._spent, self._spent + seconds
        crossed = before <= self.PATIENCE < self._spent
        if crossed and sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(visible(self._text) + "\n")
            sys.stderr.flush()
