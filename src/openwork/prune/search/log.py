"""The log of a search: one line of JSON for each score, to resume the search and to read later."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openwork._files import check_path, read_text, remedy, write_text
from openwork._identity import difference
from openwork._json import decode_mapping
from openwork.errors import CheckpointError

# Bytes of a log at most: ten million scores.
_LONGEST = 1 << 30


@dataclass(frozen=True)
class Score:
    """The score of one candidate.

    Attributes:
        candidate: number of the mask, from 0.
        share: share of the held-out data that it was scored on, in (0, 1].
        error: what `evaluate` returned.

    Examples:
        >>> Score(candidate=3, share=0.25, error=0.125)
        Score(candidate=3, share=0.25, error=0.125)
    """

    candidate: int
    share: float
    error: float


class SearchLog:
    """The scores of one search, in memory and, if a path is given, in a file.

    The file's first line says which search it is; each further line is a `Score`. A line is
    written at once and synced; an incomplete last line, left by a killed process, is dropped when
    the search is resumed.

    Args:
        identity: what must be equal for a search to be resumed: network, ratio, seed and so on.
        path: the file, or None.

    Attributes:
        errors: (candidate, share) -> error.
    """

    def __init__(self, identity: Mapping[str, Any], path: str | os.PathLike[str] | None) -> None:
        self._identity = dict(identity)
        if path is not None:
            check_path(path, "log")
        self._path = Path(path) if path is not None else None
        self.errors: dict[tuple[int, float], float] = {}

    def open(self) -> dict[tuple[int, float], float]:
        """Start the file, or continue the one that exists; returns the `errors` so far.

        Raises:
            CheckpointError: the file is not a log, or another search's, or cannot be written.
        """
        if self._path is None:
            return self.errors
        if os.path.exists(self._path):
            stored, scores = _read(self._path)
            _check_identity(stored, self._identity, self._path)
            self.errors = {(s.candidate, s.share): s.error for s in scores}
        rows = [asdict(Score(*key, error)) for key, error in self.errors.items()]
        text = "".join(json.dumps(line) + "\n" for line in (self._identity, *rows))
        try:
            write_text(self._path, text)
        except OSError as error:
            raise self._unwritable(error) from error
        return self.errors

    def add(self, scores: Sequence[Score]) -> None:
        """Record `scores`.

        Raises:
            CheckpointError: the file cannot be written.
        """
        self.errors |= {(score.candidate, score.share): score.error for score in scores}
        if self._path is None or not scores:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(score)) + "\n" for score in scores)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def way_out(self) -> str:
        """What to do after `evaluate` has failed, as the end of an error message."""
        if self._path is None:
            return "; repair it and search again, with `log` to keep the scores"
        return f"; repair it and search again: {len(self.errors)} scores are kept in {self._path}"

    def _unwritable(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"`log`={str(self._path)!r} could not be written ({error}); what it holds is unharmed. "
            f"{remedy(error)}; then search again"
        )


def read_log(path: str | os.PathLike[str]) -> tuple[Score, ...]:
    """Every score in the log at `path`, in the order in which they were measured.

    Args:
        path: the `log` of a search.

    Raises:
        CheckpointError: there is no such file, or it is not the log of a search.
    """
    check_path(path)
    return tuple(_read(Path(path))[1])


def _read(path: Path) -> tuple[dict[str, Any], list[Score]]:
    try:
        text = read_text(path, _LONGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"`log`={str(path)!r} cannot be read: {error}") from error
    # A last line without a line break is incomplete.
    lines = text.split("\n")[:-1]
    try:
        identity = decode_mapping(lines[0])
        if identity["kind"] != "search":
            raise ValueError(identity["kind"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CheckpointError(
            f"`log`={str(path)!r} is not the log of a search; choose another file"
        ) from error
    return identity, [_score(line, number, path) for number, line in enumerate(lines[1:], 2)]


def _score(line: str, number: int, path: Path) -> Score:
    """The score in one line of the log at `path`, with all of its values checked."""
    try:
        score = Score(**decode_mapping(line))
        count = type(score.candidate) is int and score.candidate >= 0
        if count and 0 < score.share <= 1 and math.isfinite(score.error):
            return score
    except (ValueError, TypeError, OverflowError):
        pass
    raise CheckpointError(
        f"line {number} of `log`={str(path)!r} is not a score of a candidate: {line[:60]!r}. "
        "Delete that line, and its candidate is scored again"
    )


def _check_identity(stored: Mapping[str, Any], current: Mapping[str, Any], path: Path) -> None:
    if why := difference(stored, current):
        raise CheckpointError(
            f"`log`={str(path)!r} is of another search: {why}. Search with the arguments it was "
            "started with, or choose another file"
        )
