"""What benchmarks record about the machine, and rows that a second run continues from."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from openwork._files import write_text
from openwork.report import environment


def machine() -> dict[str, str]:
    """Versions, processor and kernels, without the paths of this machine."""
    return {k: v for k, v in environment().rows if k not in ("OPENWORK_DATA", "cache")}


def kept_record(path: Path) -> dict[str, Any]:
    """What an earlier run wrote to `path`; empty if there is no file.

    Exits if another kind of machine wrote it: its figures must not stand among those of this one.
    """
    if not path.exists():
        return {}
    kept, here = json.loads(path.read_text(encoding="utf-8")), machine()
    for what in ("processor", "vector instructions"):
        if kept["machine"].get(what) != here[what]:
            raise SystemExit(
                f"{path.name} is of {what} {kept['machine'].get(what)!r}, this machine has "
                f"{here[what]!r}: name another file"
            )
    return kept


def kept_rows(path: Path | None) -> list[dict[str, Any]]:
    """The rows of an earlier run; none if there is no file."""
    if path is None or not path.exists():
        return []
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def keep_rows(path: Path | None, rows: Sequence[Any]) -> None:
    """Write all rows, which are dataclasses, to `path`, if it is given."""
    if path is not None:
        record = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        write_text(path, json.dumps(record, indent=1) + "\n")
