"""What was measured on this machine, in files that processes share, and whether to trust it."""

import functools
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openwork._files import cache_folder, locked_folder, read_text, write_text
from openwork._json import decode_mapping
from openwork._machine import processor_name
from openwork.errors import CheckpointError, OpenworkError

__all__ = ["is_steady", "read_remembered", "remember", "remembered_path", "spread"]

# A choice is remembered if half of the winner's calls took at most this much longer than the best.
_MOST_SPREAD = 0.5
# Seconds below which a clock says little.
_LEAST_SECONDS = 1e-5
# Tries, a hundredth of a second apart, while another process writes.
_TRIES = 300


def spread(seconds: Sequence[float]) -> float:
    """How far the median of a call's times lies above the least, as a share of that."""
    least = min(seconds)
    return (statistics.median(seconds) - least) / max(least, _LEAST_SECONDS)


def is_steady(spread: Any) -> bool:
    """Whether times that spread so far say which of two calls is faster."""
    return isinstance(spread, float) and 0 <= spread <= _MOST_SPREAD


def remembered_path(what: str) -> Path:
    """The file of this name in the cache folder, for this kind of processor."""
    return cache_folder() / f"{what}-{_machine()}.json"


def read_remembered(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is damaged, which costs a new measurement only."""
    try:
        return decode_mapping(read_text(path))
    except (OSError, ValueError):
        return {}


def remember(path: Path, new: Mapping[str, Any]) -> None:
    """Add `new` to the file; one that cannot be written is not worth an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            try:
                with locked_folder(path.parent, "OPENWORK_CACHE"):
                    # Read again: another process may have added to it.
                    write_text(path, json.dumps({**read_remembered(path), **new}))
                return
            except CheckpointError:
                time.sleep(0.01)
    except (OSError, OpenworkError):
        return


@functools.cache
def _machine() -> str:
    machine = f"{platform.machine()} {processor_name()} {os.cpu_count()}"
    return hashlib.sha256(machine.encode()).hexdigest()[:16]
