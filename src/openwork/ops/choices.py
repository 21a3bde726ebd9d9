"""Which implementation runs a layer in training: measured once, remembered in a file."""

import hashlib
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from openwork._files import cache_folder, write_text
from openwork._machine import processor_name
from openwork.errors import ArgumentError, OpenworkError

REFERENCE = "reference"
MODES = ("measured", "native", REFERENCE)
_VARIABLE = "OPENWORK_TRAIN_KERNELS"
# Says so when measuring takes longer than this in all.
_PATIENCE = 2.0

Call = Callable[[], object]

_log = logging.getLogger("openwork")


def mode() -> str:
    """What `OPENWORK_TRAIN_KERNELS` asks for: "measured" (default), "native" or "reference"."""
    wanted = os.environ.get(_VARIABLE) or MODES[0]
    if wanted not in MODES:
        raise ArgumentError(f"`{_VARIABLE}`={wanted!r} must be one of {MODES}; unset it or choose")
    return wanted


class Choices:
    """Names of implementations by key, in memory and in a file that processes share."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._path: Path | None = None
        self._lock = threading.RLock()
        self._spent = 0.0

    def get(self, key: str) -> str | None:
        """The choice for `key`, or None if there is none yet."""
        with self._lock:
            self._read()
            return self._known.get(key)

    def measure(self, key: str, ways: Iterable[tuple[str, Callable[[], Call]]]) -> str:
        """Time all of `ways`, remember the fastest and return its name.

        Args:
            key: what the choice is remembered under.
            ways: (name, function that prepares it and gives the call to time).
        """
        with self._lock:
            self._read()
            began = time.perf_counter()
            best, seconds = REFERENCE, float("inf")
            for name, prepare in ways:
                taken = _time(prepare(), seconds)
                if taken < seconds:
                    best, seconds = name, taken
            self._known[key] = best
            self._say(time.perf_counter() - began)
            self._write()
            return best

    def _say(self, seconds: float) -> None:
        before, self._spent = self._spent, self._spent + seconds
        if before // _PATIENCE < self._spent // _PATIENCE:
            _log.info("measured training kernels for %.0f s; choices are remembered", self._spent)

    def _read(self) -> None:
        path = choices_path()
        if path == self._path:
            return
        # The folder may change while a process runs, as it does in tests.
        self._path = path
        self._known = _stored(path)

    def _write(self) -> None:
        path = choices_path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Read again: another process may have added to it.
            write_text(path, json.dumps({**_stored(path), **self._known}))
        except (OSError, OpenworkError):
            # An unwritable cache is not worth an error.
            return


def _stored(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # A damaged cache costs a new measurement, nothing else.
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: name for key, name in entries.items() if isinstance(name, str)}


def _time(call: Call, best: float) -> float:
    """Seconds of `call`, the better of two; one if it is far from `best`."""
    taken = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        call()
        taken = min(taken, time.perf_counter() - began)
        if taken > 2 * best:
            break
    return taken


def choices_path() -> Path:
    """The file that training choices for this processor are kept in."""
    machine = f"{platform.machine()} {processor_name()} {os.cpu_count()}"
    name = hashlib.sha256(machine.encode()).hexdigest()[:16]
    return cache_folder() / f"training-{name}.json"


choices = Choices()
