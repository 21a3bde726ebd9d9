"""A study as a grid of cells: each is a run that can be resumed, and its result is one row.

Rows lie in `rows/<study>_<scale>.jsonl`, one JSON object per line. They accumulate over runs and
machines; tables, intervals and pictures are drawn from them alone (`python -m studies report`).
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cores import OutOfTimeError, cores, locked, machine_locks, wait
from torch import nn

import openwork as ow
from openwork._files import locked_folder, write_text
from openwork._machine import processor_name
from openwork.cluster.tasks import Cluster
from openwork.data import DataSet
from openwork.kernels.native import reason_missing
from openwork.train import Recipe

FOLDER = Path(__file__).parent
SCALES = ("smoke", "cpu", "paper")

Settings = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A grid of cells, and what they mean.

    Attributes:
        name: its name on the command line.
        threads: threads of a cell. Small networks are slower with two than with one.
        cells: scale -> the settings of each cell, plain data that alone determine its result, in
            the order in which to run them.
        run: computes the result of a cell; what it must not lose it keeps in the folder it is
            given, so that it can be killed at any moment and resumed.
        cut: scale -> what is smaller than in the paper; "" for nothing.
        timed: whether its results are times: no other cell runs beside one of these, and a row
            made beside other work is not kept.
    """

    name: str
    threads: int
    cells: Callable[[str], list[Settings]]
    run: Callable[[Settings, "Desk"], dict[str, Any]]
    cut: dict[str, str]
    timed: bool = False


@dataclass(frozen=True)
class Desk:
    """Where a cell works.

    Attributes:
        folder: kept until the cell's row is written.
        deadline: when to stop, on `time.monotonic`'s clock.
        shared: kept until every cell has a row.
    """

    folder: Path
    deadline: float
    shared: Path

    def check(self) -> None:
        """Stop here if the budget is spent.

        Raises:
            OutOfTimeError: it is.
        """
        if time.monotonic() >= self.deadline:
            raise OutOfTimeError

    def fit(
        self,
        model: nn.Module,
        data: DataSet,
        recipe: Recipe,
        name: str = "run",
        teacher: nn.Module | None = None,
    ) -> Row:
        """Train `model`, from the last finished epoch if there is one; accuracy and seconds.

        Raises:
            OutOfTimeError: the budget is spent.
        """
        return self._fit(model, data, recipe, self.folder / name, teacher)

    def trained(self, what: Settings, model: nn.Module, data: DataSet, recipe: Recipe) -> Row:
        """Train a network that several cells start from; all but the first of them only read it.

        Args:
            what: the settings that determine the trained network.
            model, data, recipe: as in `fit`.

        Raises:
            OutOfTimeError: the budget is spent.
        """
        folder = self.shared / key(what)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "cell.lock", self.deadline):
            return self._fit(model, data, recipe, folder / "run", None)

    def _fit(
        self,
        model: nn.Module,
        data: DataSet,
        recipe: Recipe,
        out: Path,
        teacher: nn.Module | None,
    ) -> Row:
        self.check()
        history = ow.train.fit(
            model,
            data,
            recipe,
            out=out,
            resume=True,
            progress=False,
            on_epoch=lambda _, epoch: None if epoch == recipe.epochs else self.check(),
            teacher=teacher,
            fuse=True,
        )
        return {
            "accuracy": history[-1].test_accuracy,
            "train_accuracy": history[-1].train_accuracy,
            "seconds": sum(row.seconds for row in history),
        }


def key(settings: Settings) -> str:
    """A name for a cell that is the same wherever and whenever it runs."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rows_path(name: str, scale: str, folder: Path = FOLDER / "rows") -> Path:
    """The file with the rows of a study."""
    return folder / f"{name}_{scale}.jsonl"


def read_rows(path: Path) -> list[Row]:
    """The rows in a file, the first one of each cell, in the order of the file."""
    if not path.exists():
        return []
    found: dict[str, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["cell"], row)
    return list(found.values())


def run_study(
    study: Study,
    scale: str,
    *,
    hours: float = float("inf"),
    rows: Path = FOLDER / "rows",
    work: Path = FOLDER / "rows" / "unfinished",
    locks: Path | None = None,
    ray: str | None = None,
    only: Mapping[str, str] | None = None,
) -> bool:
    """Run the cells of `study` that have no row yet.

    Args:
        study: the study.
        scale: "smoke", "cpu" or "paper".
        hours: stop cleanly when they are over; what runs then is resumed by the next call.
        rows: folder of the rows.
        work: folder of the cells that are not finished. A cell whose machine is lost resumes on
            another one only if both see this folder.
        locks: what the names of the files begin with that are locked while a cell runs, one for
            each core that it uses; default: those of this machine and user. Nobody reads the
            figures of the scale "smoke", which takes no lock.
        only: run the cells alone whose settings, as text, have these values; default all.
        ray: cluster that runs the cells, as in `openwork.prune.search`, "local" for all cores of
            this machine; default none, and they run here, one after the other.

    Returns:
        Whether every cell that was asked for has a row now.
    """
    path = rows_path(study.name, scale, rows)
    cells = study.cells(scale)
    asked = [cell for cell in cells if all(str(cell.get(k)) == v for k, v in (only or {}).items())]
    left = _without_row(asked, path)
    # By the clock of the day, which all machines have.
    place = Place(study, scale, work, locks, time.time() + 3600 * hours)
    number = 0
    try:
        for number, row in enumerate(_rows(place, left, ray, path), start=1):
            keep = not (study.timed and row["contended"]) or scale == "smoke"
            if keep:
                _append(path, row)
            # Only now: a run that is killed before this is resumed from the folder.
            shutil.rmtree(place.folder(row["settings"]), ignore_errors=True)
            said = row["result"] if keep else "not kept, other work ran beside it"
            print(f"{study.name} {number}/{len(left)}: {row['settings']} -> {said}", flush=True)
    except OutOfTimeError:
        print(f"{study.name}: stopped with {len(left) - number} cells left")
    if not _without_row(cells, path):
        shutil.rmtree(place.shared, ignore_errors=True)
    return not _without_row(asked, path)


def _without_row(cells: Sequence[Settings], path: Path) -> list[Settings]:
    done = {row["cell"] for row in read_rows(path)}
    return [cell for cell in cells if key(cell) not in done]


@dataclass(frozen=True)
class Place:
    """Where and until when the cells of a study run.

    Attributes:
        study, scale, work, locks: as in `run_study`.
        until: when to stop, in seconds of `time.time`.
    """

    study: Study
    scale: str
    work: Path
    locks: Path | None
    until: float

    def folder(self, settings: Settings) -> Path:
        """Where the cell with these settings works."""
        return self.work / f"{self.study.name}_{self.scale}" / key(settings)

    @property
    def shared(self) -> Path:
        """Where networks lie that several cells start from."""
        return self.work / f"{self.study.name}_{self.scale}" / "shared"

    def deadline(self) -> float:
        """When to stop, on `time.monotonic`'s clock."""
        return time.monotonic() + self.until - time.time()

    def hold(self, settings: Settings, held: contextlib.ExitStack) -> bool:
        """Whether no other process works on a cell; then none will until `held` is closed."""
        folder = self.folder(settings)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held.enter_context(locked_folder(folder, "work"))
        except ow.CheckpointError:
            return False
        return True

    def row(self, settings: Settings) -> Row:
        """Run a cell.

        Raises:
            OutOfTimeError: the budget was spent before it was done.
        """
        torch.set_num_threads(self.study.threads)
        if reason_missing is None:
            os.environ.setdefault("OPENWORK_TRAIN_KERNELS", "native")
        deadline = self.deadline()
        count = None if self.study.timed else self.study.threads
        turns = cores(self.locks or machine_locks(), count, deadline)
        with turns if self.scale != "smoke" else contextlib.nullcontext():
            folder = self.folder(settings)
            folder.mkdir(parents=True, exist_ok=True)
            return _row(self.study, settings, Desk(folder, deadline, self.shared))


def _rows(place: Place, cells: list[Settings], ray: str | None, path: Path) -> Iterator[Row]:
    """The row of each cell, unless another process that runs the study adds it to `path`."""
    if ray is None:
        while cells:
            waiting: list[Settings] = []
            for cell in cells:
                with contextlib.ExitStack() as held:
                    if not place.hold(cell, held):
                        waiting.append(cell)
                    elif _without_row([cell], path):
                        yield place.row(cell)
            if len(waiting) == len(cells):
                wait(place.deadline())
            cells = waiting
        return
    with Cluster(ray) as cluster:
        calls = ((cell,) for cell in cells)
        for _, row in cluster.run(Place.row, place, calls, cpus=place.study.threads):
            yield row


def _row(study: Study, settings: Settings, desk: Desk) -> Row:
    desk.check()
    wall, others = time.perf_counter(), _others_busy()
    result = study.run(settings, desk)
    seconds = time.perf_counter() - wall
    # A tenth of the machine for others may be its housekeeping.
    contended = _others_busy() - others > 0.1 * seconds * (os.cpu_count() or 1)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cell": key(settings),
        "settings": settings,
        "seconds": round(result.pop("seconds", seconds), 1),
        "contended": contended,
        "result": result,
        "threads": study.threads,
        "processor": processor_name(),
        "gpu": gpu,
        "versions": {
            "openwork": ow.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "commit": _commit(),
    }


def _others_busy() -> float:
    """Seconds that the machine's processors have worked for other processes; 0 if unknown."""
    try:
        line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return 0.0
    ticks = [int(number) for number in line.split()[1:9]]
    # Neither idle nor waiting for disks; what a host took away counts.
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return busy - time.process_time()


def _append(path: Path, row: Row) -> None:
    """Add a row to the file: all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, before + json.dumps(row, sort_keys=True) + "\n")


def _commit() -> str | None:
    """The commit of the code, with a plus sign if files that git knows were changed."""
    command = ["git", "-C", str(FOLDER), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*command[:3], "diff", "--quiet", "HEAD", "--", ".", ":!rows", "../src"], check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found + "+" * (changed.returncode != 0)


def values(rows: Sequence[Row], of: str, **where: Any) -> list[Any]:
    """Results named `of` of the rows whose settings match `where`, by rising seed."""
    found = [r for r in rows if all(r["settings"].get(k) == v for k, v in where.items())]
    return [r["result"][of] for r in sorted(found, key=lambda r: r["settings"]["seed"])]


def paired(rows: Sequence[Row], of: str, one: Settings, other: Settings) -> list[float]:
    """Differences of the result `of`, `one` minus `other`, for each seed that both have."""

    def by_seed(where: Settings) -> dict[int, float]:
        found = [r for r in rows if all(r["settings"].get(k) == v for k, v in where.items())]
        return {r["settings"]["seed"]: r["result"][of] for r in found}

    first, second = by_seed(one), by_seed(other)
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def gaps(rows: Sequence[Row], one: Settings, other: Settings) -> list[float]:
    """Points of accuracy, `one` minus `other`, for each seed that both have."""
    return [100 * gap for gap in paired(rows, "accuracy", one, other)]
