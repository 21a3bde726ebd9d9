"""The errors of a sensitivity so far, in a file that a stopped run resumes from."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openwork._files import read_text, writable_folder
from openwork._identity import difference
from openwork._json import decode_mapping, write_json
from openwork.errors import CheckpointError

_NAME = "sensitivity.json"


class SensitivityFile:
    """Errors by name, in memory and, if a folder is given, in its file `sensitivity.json`.

    The file is replaced as a whole after each error, so that a killed process leaves all of them
    but the one that it was measuring.

    Args:
        out: the folder, created if necessary; None keeps nothing.
        identity: what must be equal for a run to be resumed.

    Raises:
        CheckpointError: the file is of another run, or damaged.
        OpenworkError: the folder cannot be written to.
    """

    def __init__(self, out: str | os.PathLike[str] | None, identity: Mapping[str, Any]) -> None:
        self._path = None if out is None else writable_folder(out, "out") / _NAME
        self._identity = dict(identity)
        self._errors: dict[str, float] = {}
        if self._path is not None and self._path.exists():
            self._errors = self._read(self._path)

    def get(self, name: str) -> float | None:
        """The error called `name`; None if it is not measured yet."""
        return self._errors.get(name)

    def add(self, name: str, error: float) -> float:
        """Keep `error`, which is returned."""
        self._errors[name] = error
        # Under torchrun all processes measure the same.
        if self._path is not None and os.environ.get("RANK", "0") == "0":
            write_json(self._path, {"run": self._identity, "errors": self._errors})
        return error

    def _read(self, path: Path) -> dict[str, float]:
        try:
            stored = decode_mapping(read_text(path))
            errors: dict[str, Any] = stored["errors"]
            run = dict(stored["run"])
            if not all(type(e) is float and math.isfinite(e) for e in errors.values()):
                raise ValueError("an error that is not a number")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{str(path)!r} does not hold errors of a sensitivity ({error}); delete it, or "
                "choose another folder"
            ) from error
        if why := difference(run, self._identity):
            raise CheckpointError(
                f"`out`={str(path.parent)!r} holds a sensitivity of another run: {why}. Resume "
                "with the network and arguments it was started with, or choose another folder"
            )
        return errors
