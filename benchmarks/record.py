"""What every benchmark notes down of where it ran, and rows that a second run goes on from."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from openwork._files import write_text
from openwork.report import environment


def machine() -> dict[str, str]:
    """Versions, processor and kernels; not where this machine keeps its files."""
    return {k: v for k, v in environment().rows if k not in ("OPENWORK_DATA", "cache")}


def kept_rows(path: Path | None) -> list[dict[str, Any]]:
    """Rows of an earlier run; none without a file."""
    if path is None or not path.exists():
        return []
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def keep_rows(path: Path | None, rows: Sequence[Any]) -> None:
    """Write all rows, which are dataclasses, where there is a file to write to."""
    if path is not None:
        record = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        write_text(path, json.dumps(record, indent=1) + "\n")
