"""What the commands print beside their tables."""

from rich.console import Console


def say(text: str, *, error: bool = False) -> None:
    """Print a line as it is: names and paths may hold what rich would take for markup.

    Args:
        text: of any length; it is not wrapped.
        error: print to standard error.
    """
    Console(stderr=error).print(text, markup=False, highlight=False, soft_wrap=True)
