"""`RunRecord`: what the files in a folder say. Nothing is built, loaded or run."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openwork._files import read_text
from openwork._json import decode_mapping
from openwork.errors import OpenworkError, first_line
from openwork.observe import EpochSparsity, SparsityHistory
from openwork.prune import read_log
from openwork.runtime.container import read_header, read_layout

Layout = Mapping[str, tuple[tuple[int, ...], int]]
Epochs = list[dict[str, float]]

# What commands write as JSON, besides the network.
DOCUMENTS = ("bench", "channels", "compact", "comparison", "sensitivity")
# A run or a command has at most this many stages; other files do not count as such.
_MOST_STAGES = 1_000


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The front of a file of ours.

    Attributes:
        header: what was saved with the tensors.
        layout: name -> shape and bytes of each tensor.
        size: bytes of the file.
    """

    header: Mapping[str, Any]
    layout: Layout
    size: int


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What was found in a folder; what is not there is None or empty.

    Attributes:
        path: the folder, as it was given.
        model, state, compiled: the network, the run's state and the compiled network.
        epochs: metrics, one mapping for each epoch.
        retrained: the same for each stage of a pruning.
        dead: dead channels after each epoch.
        searches: file -> (candidate, share of the held-out data, error) of each score.
        stages: results of the stages of a pruning, in order.
        documents: name -> what a command wrote there as JSON.
        problems: files that could not be read, and why.
    """

    path: Path
    model: Checkpoint | None = None
    state: Checkpoint | None = None
    compiled: Checkpoint | None = None
    epochs: Epochs = field(default_factory=list)
    retrained: dict[str, Epochs] = field(default_factory=dict)
    dead: list[EpochSparsity] = field(default_factory=list)
    searches: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is there."""
        held = (self.model, self.state, self.compiled, self.epochs, self.retrained, self.dead)
        return not any((*held, self.searches, self.stages, self.documents, self.problems))

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What the file of the network says of it."""
        return _mapping(self.model.header.get("metrics")) if self.model else {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the training was started with."""
        return _mapping(self.state.header.get("identity")) if self.state else {}


def read_record(path: Path) -> RunRecord:
    """What the files in the folder `path` say; what cannot be read is among the `problems`."""
    problems: list[str] = []

    def read(name: str, how: Callable[[Path], Any], otherwise: Any) -> Any:
        if not (path / name).is_file():
            return otherwise
        try:
            return how(path / name)
        except (OpenworkError, OSError, ValueError, TypeError, LookupError, csv.Error) as error:
            problems.append(f"{name} cannot be read: {first_line(error)}")
            return otherwise

    files = {name: read(f"{name}.safetensors", _checkpoint, None) for name in _CHECKPOINTS}
    stages = [read(f"stage-{n}.safetensors", _stage, None) for n in _numbered(path, "stage")]
    found = {
        "epochs": read("metrics.csv", _epochs, []),
        "retrained": {
            f"stage {n}": epochs
            for n in _numbered(path, "stage")
            if (epochs := read(f"stage-{n}/metrics.csv", _epochs, []))
        },
        "dead": read("sparsity.csv", lambda file: SparsityHistory(path=file).epochs, []),
        "searches": {
            name: scores
            for n in _numbered(path, "search")
            for name in [f"search-{n}.jsonl"]
            if (scores := read(name, _scores, []))
        },
        "stages": [stage for stage in stages if stage],
        "documents": {
            name: held
            for name in DOCUMENTS
            if (held := read(f"{name}.json", lambda file: decode_mapping(read_text(file)), {}))
        },
    }
    return RunRecord(path, **files, **found, problems=problems)


_CHECKPOINTS = ("model", "state", "compiled")


def _numbered(path: Path, stem: str) -> list[int]:
    """Numbers of the files and folders in `path` that are called `stem`-1, `stem`-2 and so on."""
    names = [entry.name.partition(".")[0] for entry in path.glob(f"{stem}-*")]
    numbers = {name.removeprefix(f"{stem}-") for name in names}
    return [n for n in sorted(int(n) for n in numbers if n.isdecimal()) if n <= _MOST_STAGES]


def _checkpoint(file: Path) -> Checkpoint:
    return Checkpoint(read_header(file), read_layout(file), file.stat().st_size)


def _stage(file: Path) -> dict[str, Any]:
    return dict(read_header(file)["metrics"]["result"])


def _epochs(file: Path) -> Epochs:
    rows = csv.DictReader(io.StringIO(read_text(file), newline=""))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def _scores(file: Path) -> list[tuple[int, float, float]]:
    return [(score.candidate, score.share, score.error) for score in read_log(file)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
