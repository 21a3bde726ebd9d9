"""What the user sees while a network is compiled."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

_Item = TypeVar("_Item")


class Progress:
    """Tells a callback, or a terminal on standard error, what is being done.

    The terminal shows a line once the work takes longer than 2 s, and removes it at the end.

    Args:
        callback: called with what is being done, the steps of it that are done and all its steps;
            None for the terminal.
    """

    PATIENCE = 2.0

    def __init__(self, callback: Callable[[str, int, int], None] | None) -> None:
        self._callback = callback
        self._terminal = callback is None and sys.stderr is not None and sys.stderr.isatty()
        self._began = float("inf")
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *raised: object) -> None:
        # Sizes that a call meets later are not shown.
        self._callback, self._terminal = None, False
        if self._bar is not None:
            self._bar.stop()

    def stage(self, what: str, done: int = 0, steps: int = 1) -> None:
        """Say what is being done, and how far it is."""
        if self._callback is not None:
            self._callback(what, done, steps)
        if self._terminal and time.perf_counter() - self._began > self.PATIENCE:
            self._show(f"openwork: {what}", done, steps)

    def of(self, items: Sequence[_Item], what: str) -> Iterator[_Item]:
        """The items one after another, each a step of `what`."""
        for done, item in enumerate(items):
            self.stage(what, done, len(items))
            yield item
        self.stage(what, len(items), len(items))

    def _show(self, what: str, done: int, steps: int) -> None:
        if self._bar is None:
            from rich import progress as bars
            from rich.console import Console

            self._bar = bars.Progress(
                bars.TextColumn("{task.description}", markup=False),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(what, total=steps)
            self._bar.start()
        self._bar.update(self._task, description=what, completed=done, total=steps)
