"""A run's numbers as CSV and as TensorBoard events."""

import csv
import importlib
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.record_writer import RecordWriter

from openwork.errors import CheckpointError
from openwork.train import EpochMetrics
from openwork.train.metrics import EventLog, write_csv

# The classes of this module are made when it is imported.
events: Any = importlib.import_module("tensorboardX.proto.event_pb2")


def _row(epoch: int, loss: float = 0.1) -> EpochMetrics:
    return EpochMetrics(epoch, 0.1 / epoch, loss, 0.5, 1 / 3, 0.25, 1.5)


def _scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of the files in `folder`: tag -> step -> value.

    A file is a row of records: length, its checksum, the event, its checksum. The start of a
    session discards what earlier files hold from its step on.
    """
    shown: dict[str, dict[int, float]] = {}
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = events.Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            if event.session_log.status == events.SessionLog.START:
                for points in shown.values():
                    for step in [step for step in points if step >= event.step]:
                        del points[step]
            for value in event.summary.value:
                assert event.step not in shown.setdefault(value.tag, {}), "shown twice"
                shown[value.tag][event.step] = value.simple_value
    return shown


def test_the_csv_holds_every_number_exactly(tmp_path: Path) -> None:
    history = [_row(1), _row(2), _row(3)]
    write_csv(tmp_path / "m.csv", history)
    with (tmp_path / "m.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    back = [
        EpochMetrics(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})
        for row in read
    ]
    assert back == history
    write_csv(tmp_path / "m.csv", history[:1])
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 2


def test_events_hold_every_number(tmp_path: Path) -> None:
    log = EventLog(tmp_path, [])
    history = [_row(1), _row(2)]
    for row in history:
        log.add(row)
    log.close()
    shown = _scalars(tmp_path)
    assert set(shown) == {
        "lr",
        "train/loss",
        "train/accuracy",
        "test/loss",
        "test/accuracy",
        "seconds",
    }
    for row in history:
        for name, value in asdict(row).items():
            if name != "epoch":
                # Events hold float32.
                tag = name.replace("_", "/")
                assert shown[tag][row.epoch] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("written", [1, 2, 3])
def test_going_on_shows_each_epoch_once(tmp_path: Path, written: int) -> None:
    """Two epochs are finished; the killed run had come to write one, two or three of them."""
    log = EventLog(tmp_path, [])
    for epoch in range(1, written + 1):
        log.add(_row(epoch, loss=9.0 if epoch > 2 else 0.5))
    log.close()
    log = EventLog(tmp_path, [_row(1), _row(2, loss=0.5)])
    log.add(_row(3, loss=0.25))
    log.close()
    assert _scalars(tmp_path)["train/loss"] == {1: 0.5, 2: 0.5, 3: 0.25}


def test_a_session_overwrites_no_file_of_the_same_second(tmp_path: Path) -> None:
    log = EventLog(tmp_path, [])
    log.add(_row(1))
    log.close()
    log = EventLog(tmp_path, [_row(1)])
    log.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert list(_scalars(tmp_path)["lr"]) == [1]


def test_a_clock_set_back_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = threading.active_count()
    log = EventLog(tmp_path, [])
    log.add(_row(1))
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    log.add(_row(2))
    assert threading.active_count() == threads
    log.close()
    log = EventLog(tmp_path, [_row(1), _row(2)])
    log.add(_row(3))
    log.close()
    # The second file sorts behind the first although it is older.
    assert list(_scalars(tmp_path)["lr"]) == [1, 2, 3]


def test_a_full_disk_is_an_error_of_ours(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    log = EventLog(tmp_path, [])
    with full_disk(100), pytest.raises(CheckpointError, match="could not be written"):
        log.add(_row(1))
    log.close()
    with full_disk(10), pytest.raises(CheckpointError, match="could not be written"):
        EventLog(tmp_path, [])
    with pytest.raises(CheckpointError, match="could not be written"):
        EventLog(tmp_path / "no" / "folder", [])


def test_records_are_what_the_dependency_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    log = EventLog(tmp_path, [])
    log.close()
    (file,) = tmp_path.iterdir()
    theirs = RecordWriter(str(tmp_path / "theirs"))
    theirs.write(events.Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString())
    theirs.close()
    assert file.read_bytes().startswith((tmp_path / "theirs").read_bytes())
