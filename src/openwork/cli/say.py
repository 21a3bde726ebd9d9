"""What the commands print besides their tables."""

from rich.console import Console
from rich.text import Text

from openwork._terminal import literal


def say(text: str, *, error: bool = False) -> None:
    """Print a line as it is: names and paths may hold markup, emoji codes and terminal escapes.

    Args:
        text: a line of any length; it is not wrapped.
        error: print to standard error.
    """
    Console(stderr=error).print(literal(text, keep=""), soft_wrap=True)


def say_error(error: Exception) -> None:
    """Print the message of `error`, which may have several lines, to standard error."""
    message = Text.assemble(("error:", "red"), " ", literal(str(error)))
    Console(stderr=True).print(message, soft_wrap=True)
