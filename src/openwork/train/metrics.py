"""The metrics of a run, one row per epoch, as CSV and as TensorBoard events."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tensorboardX import SummaryWriter

from openwork._files import write_text


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        lr: learning rate of its last step.
        train_loss, test_loss: mean loss per sample.
        train_accuracy, test_accuracy: share of correctly classified samples, in [0, 1].
        seconds: wall-clock time of the epoch, including evaluation.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


def write_csv(path: Path, history: Sequence[EpochMetrics]) -> None:
    """Write all of `history`, so that the file always agrees with the checkpoint."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochMetrics)])
    writer.writeheader()
    writer.writerows([asdict(row) for row in history])
    write_text(path, text.getvalue())


class EventLog:
    """TensorBoard events of a run; on resuming, events of later epochs are purged.

    The last row of `history` is written again, because a killed run may not have written it.
    """

    def __init__(self, folder: Path, history: Sequence[EpochMetrics]) -> None:
        # tensorboardX names a file by the second and would overwrite one from the same second.
        suffix = f".{len(history):06d}"
        purge = max(1, len(history))
        self._writer = SummaryWriter(str(folder), purge_step=purge, filename_suffix=suffix)
        if history:
            self.add(history[-1])

    def add(self, row: EpochMetrics) -> None:
        for name, value in asdict(row).items():
            if name != "epoch":
                self._writer.add_scalar(name.replace("_", "/", 1), value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
