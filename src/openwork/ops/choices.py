"""Which implementation runs a layer in training: measured once, remembered in a file."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from openwork._terminal import Notice
from openwork.errors import ArgumentError
from openwork.kernels.native import reason_missing
from openwork.kernels.remembered import (
    is_steady,
    read_remembered,
    remember,
    remembered_path,
    spread,
)

NATIVE, REFERENCE = "native", "reference"
MODES = ("measured", NATIVE, REFERENCE)
VARIABLE = "OPENWORK_TRAIN_KERNELS"
# The second takes turns with the fastest if it took at most this many times as long.
_NEAR, _TURNS = 1.5, 4

Call = Callable[[], object]


def mode() -> str:
    """What `OPENWORK_TRAIN_KERNELS` asks for: "measured" (default), "native" or "reference".

    Raises:
        ArgumentError: it is none of them, or "native" where there are no kernels.
    """
    wanted = os.environ.get(VARIABLE) or MODES[0]
    if wanted not in MODES:
        raise ArgumentError(f"`{VARIABLE}`={wanted!r} must be one of {MODES}; unset it or choose")
    if wanted == NATIVE and reason_missing is not None:
        raise ArgumentError(
            f"`{VARIABLE}`={NATIVE!r} needs the compiled kernels, and {reason_missing}; unset it "
            "to train with torch's operators, or install them"
        )
    return wanted


class Choices:
    """Names of implementations by key, in memory and in a file that processes share."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._path: Path | None = None
        self._lock = threading.RLock()
        self._notice = Notice(
            "openwork: measuring kernels for the sparse layers, once; the choices are kept"
        )

    def get(self, key: str) -> str | None:
        """The choice for `key`, or None if there is none yet."""
        with self._lock:
            self._read()
            return self._known.get(key)

    def measure(self, key: str, ways: Iterable[tuple[str, Callable[[], Call]]]) -> str:
        """Time all of `ways`, remember the fastest if its times are steady, and return its name.

        Args:
            key: what the choice is remembered under.
            ways: (name, function that prepares it and gives the call to time).
        """
        with self._lock:
            self._read()
            began = time.perf_counter()
            # The fastest two; more would stay in memory.
            timed: list[tuple[float, str, Call]] = []
            for name, prepare in ways:
                call = prepare()
                taken = _time(call, timed[0][0] if timed else float("inf"))
                timed = sorted([*timed, (taken, name, call)], key=lambda way: way[0])[:2]
            best, steady = _settled(timed)
            self._known[key] = best
            self._notice.spent(time.perf_counter() - began)
            if steady:
                remember(choices_path(), {key: best})
            return best

    def _read(self) -> None:
        path = choices_path()
        if path == self._path:
            return
        # The folder may change while a process runs, as it does in tests.
        self._path = path
        stored = read_remembered(path)
        self._known = {key: name for key, name in stored.items() if isinstance(name, str)}


def _time(call: Call, best: float) -> float:
    """Seconds of `call`, the better of two; one if it is far from `best`."""
    taken = float("inf")
    for _ in range(2):
        taken = min(taken, _seconds(call))
        if taken > 2 * best:
            break
    return taken


def _settled(timed: Sequence[tuple[float, str, Call]]) -> tuple[str, bool]:
    """The faster of at most two ways, fastest first, and whether its times are steady."""
    if not timed:
        return REFERENCE, True
    near = [way for way in timed if way[0] <= _NEAR * timed[0][0]]
    taken = {name: [seconds] for seconds, name, _ in near}
    for _ in range(_TURNS):
        for _, name, call in near:
            taken[name].append(_seconds(call))
    best = min(taken, key=lambda name: min(taken[name]))
    return best, is_steady(spread(taken[best]))


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def choices_path() -> Path:
    """The file that training choices for this processor are kept in."""
    return remembered_path("training")


choices = Choices()
