"""What the terminal shows while a network trains."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from openwork._terminal import literal, visible
from openwork.train.metrics import EpochMetrics

__all__ = ["progress_bar"]


def progress_bar(console: Console) -> Progress:
    """A bar with what is done, how many there are and the time left, gone once it is complete."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class ProgressBar:
    """A bar over all steps of a run, and a line for each finished epoch.

    Args:
        title: what is being trained.
        epochs: epochs in the whole run.
        steps: steps per epoch.
        finished: epochs that are already finished in a resumed run.
        shown: False prints nothing, for ranks other than the first.
    """

    def __init__(self, title: str, epochs: int, steps: int, finished: int, shown: bool) -> None:
        self._console = Console(quiet=not shown, stderr=True)
        self._progress = progress_bar(self._console)
        self._title, self._epochs = visible(title), epochs
        total = epochs * steps
        self._task = self._progress.add_task(self._title, total=total, completed=finished * steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()

    def step(self) -> None:
        self._progress.advance(self._task)

    def epoch(self, row: EpochMetrics) -> None:
        text = (
            f"{self._title}  epoch {row.epoch:>{len(str(self._epochs))}}/{self._epochs}  "
            f"loss {row.train_loss:.4f}  train {row.train_accuracy:.2%}  "
            f"test {row.test_accuracy:.2%}  {row.seconds:.1f} s"
        )
        self._console.print(literal(text))
