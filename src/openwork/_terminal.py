"""Text for the terminal: names and paths as they are, never as commands to it or to rich."""

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
