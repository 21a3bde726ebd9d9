"""The metrics of a run, one row per epoch, as CSV and as TensorBoard events."""

import contextlib
import csv
import importlib
import io
import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tensorboardX.record_writer import masked_crc32c

from openwork._files import write_text, writing
from openwork.errors import CheckpointError

# Made when their modules are imported, so that no type checker knows them.
_EVENTS: Any = importlib.import_module("tensorboardX.proto.event_pb2")
Event, SessionLog = _EVENTS.Event, _EVENTS.SessionLog
Summary: Any = importlib.import_module("tensorboardX.proto.summary_pb2").Summary


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

    The last row of `history` is written again, because a killed run may not have written it. Every
    row is on the disk when `add` returns, and no thread is needed for that: one that waits for the
    clock never ends if the clock is set back.

    Raises:
        CheckpointError: the disk is full, or `folder` cannot be written to.
    """

    def __init__(self, folder: Path, history: Sequence[EpochMetrics]) -> None:
        self._path = folder
        with writing(folder, CheckpointError):
            folder.mkdir(exist_ok=True)
            self._path = folder / _file_name(folder, len(history))
            # Unbuffered, so that nothing is left to write, and to fail, when it is closed.
            self._file = self._path.open("xb", buffering=0)
        try:
            self._write(file_version="brain.Event:2")
            start = SessionLog(status=SessionLog.START)
            self._write(step=max(1, len(history)), session_log=start)
            if history:
                self.add(history[-1])
        except BaseException:
            self.close()
            raise

    def add(self, row: EpochMetrics) -> None:
        for name, value in asdict(row).items():
            if name != "epoch":
                point = Summary.Value(tag=name.replace("_", "/", 1), simple_value=value)
                self._write(step=row.epoch, summary=Summary(value=[point]))
        with writing(self._path, CheckpointError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, **content: Any) -> None:
        """Append an event: its length, that one's checksum, the event, and its checksum."""
        event = Event(wall_time=time.time(), **content).SerializeToString()
        length = struct.pack("<Q", len(event))
        left = memoryview(length + _checksum(length) + event + _checksum(event))
        with writing(self._path, CheckpointError):
            while left:
                left = left[self._file.write(left) :]


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(content))


def _file_name(folder: Path, epochs: int) -> str:
    """A name that sorts behind those of the files in `folder`: TensorBoard reads them in order.

    It begins with the second, but the clock may have been set back since.
    """
    names = [path.name.split(".") for path in folder.iterdir()]
    seconds = [int(parts[3]) for parts in names if len(parts) > 3 and parts[3].isdecimal()]
    second = max([int(time.time()), *(each + 1 for each in seconds)])
    return f"events.out.tfevents.{second:010d}.{socket.gethostname()}.{epochs:06d}"
