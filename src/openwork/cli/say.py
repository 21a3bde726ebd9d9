"""What the commands print besides their tables."""

from rich.console import Console


def say(text: str, *, error: bool = False) -> None:
    """Print a line literally: names and paths may contain what rich would treat as markup.

    Args:
        text: a line of any length; it is not wrapped.
        error: print to standard error.
    """
    Console(stderr=error).print(text, markup=False, highlight=False, soft_wrap=True)
