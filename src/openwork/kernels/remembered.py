"""What was measured on this machine, in files that processes share."""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openwork._files import cache_folder, read_text, write_text
from openwork._json import decode_mapping
from openwork._machine import processor_name
from openwork.errors import OpenworkError

__all__ = ["read_remembered", "remember", "remembered_path"]


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
        # Read again: another process may have added to it.
        write_text(path, json.dumps({**read_remembered(path), **new}))
    except (OSError, OpenworkError):
        return


@functools.cache
def _machine() -> str:
    machine = f"{platform.machine()} {processor_name()} {os.cpu_count()}"
    return hashlib.sha256(machine.encode()).hexdigest()[:16]
