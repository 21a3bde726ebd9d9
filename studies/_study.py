"""What the studies share: options, training runs, intervals, records and pictures.

A study is a single file that reads from top to bottom; its results are beside it in
`<study>_<scale>.json` and, as a picture, `<study>_<scale>.png`.
"""

import argparse
import dataclasses
import functools
import json
import math
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import openwork as ow
from openwork._files import write_text
from openwork._machine import processor_name
from openwork.data import DataSet, Split
from openwork.train import EpochMetrics, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Options:
    """The options given on the command line.

    Attributes:
        scale: "cpu" (minutes on two cores) or "paper" (full size).
        data_root: folder of the data sets, or None for OPENWORK_DATA, else the hub.
    """

    scale: str
    data_root: str | None

    @property
    def paper(self) -> bool:
        """Whether the full size was asked for."""
        return self.scale == "paper"

    def data(self, name: str, train: int | None = None, test: int | None = None) -> DataSet:
        """A data set; at the scale "cpu" only its first `train` and `test` samples."""
        embedded = name == "mnist-subset" or name.startswith("morse")
        data = ow.data.load(name, None if embedded else self.data_root)
        if self.paper:
            return data
        return first_samples(data, train, test)


def options(description: str | None) -> Options:
    """The options of a study from the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=("cpu", "paper"), default="cpu")
    parser.add_argument("--data-root", help="folder with the data sets; else OPENWORK_DATA")
    arguments = parser.parse_args()
    return Options(arguments.scale, arguments.data_root)


def history(model: nn.Module, data: DataSet, recipe: Recipe) -> list[EpochMetrics]:
    """Train `model` as `recipe` says, in bfloat16 on a GPU; one row per epoch."""
    if torch.cuda.is_available():
        recipe = dataclasses.replace(recipe, precision="bfloat16")
    return ow.train.fit(model, data, recipe, progress=False)


def accuracy(model: nn.Module, data: DataSet, recipe: Recipe) -> float:
    """Test accuracy of `model` after training as `recipe` says."""
    return history(model, data, recipe)[-1].test_accuracy


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of `values`, and half the width of its 95 % interval (Student's t)."""
    if len(values) < 2:
        return values[0], math.nan
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), _T[min(len(values) - 1, len(_T)) - 1] * spread


class Record:
    """The results of a run of a study, and where and how long it ran.

    Args:
        file: `__file__` of the study.
        asked: the options of the study.
        settings: plain data that determined the run: recipes, sizes, seeds.
    """

    def __init__(self, file: str, asked: Options, **settings: Any) -> None:
        path = Path(file)
        self._path = path.with_name(f"{path.stem}_{asked.scale}.json")
        self._settings = settings
        self._began = time.perf_counter()
        self.rows: list[dict[str, Any]] = []

    def add(self, **row: Any) -> None:
        """Record a result and print it."""
        self.rows.append(row)
        print(
            "  ".join(
                f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
            )
        )

    def values(self, key: str, **where: Any) -> list[Any]:
        """The values of `key` in all rows that match `where`."""
        return [r[key] for r in self.rows if all(r.get(k) == v for k, v in where.items())]

    def save(self, picture: "Figure", **summary: Any) -> None:
        """Write the JSON and the picture beside the study."""
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        record = {
            "summary": summary,
            "settings": self._settings,
            "rows": self.rows,
            "machine": {
                "processor": processor_name(),
                "threads": torch.get_num_threads(),
                "gpu": gpu,
                "system": platform.system(),
            },
            "versions": {
                "openwork": ow.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "seconds": round(time.perf_counter() - self._began),
        }
        write_text(self._path, json.dumps(record, indent=1) + "\n")
        picture.savefig(self._path.with_suffix(".png"), dpi=120)
        print(json.dumps(summary, indent=1))


def figure(panels: int, title: str) -> tuple["Figure", list[Any]]:
    """A figure of `panels` side by side, and its axes."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(5.2 * panels, 4.2), layout="constrained")
    picture.suptitle(title)
    axes = list(np.atleast_1d(picture.subplots(1, panels)))
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return picture, axes


def curve(ax: Any, x: Sequence[float], groups: Sequence[Sequence[float]], label: str) -> None:
    """Plot the means of `groups` (in per cent) over `x`, with their 95 % intervals."""
    means, halves = zip(*map(interval, groups), strict=True)
    percent = 100 * np.array(means)
    errors = 100 * np.nan_to_num(np.array(halves))
    ax.errorbar(x, percent, errors, label=label, marker="o", markersize=4, capsize=3)


def parameters_without_softmax(model: nn.Module) -> int:
    """Parameters of all layers but the last linear one, as the sparsity paper counts them."""
    heads = [m for m in model.modules() if isinstance(m, nn.Linear | ow.SparseLinear)]
    head = sum(p.numel() for p in heads[-1].parameters())
    return sum(p.numel() for p in model.parameters()) - head


@functools.cache
def loaded(name: str) -> DataSet:
    """A data set, read once by a process: decoding it takes as long as some cells."""
    return ow.data.load(name)


def first_samples(data: DataSet, train: int | None = None, test: int | None = None) -> DataSet:
    """`data` with at most so many samples; None keeps all of a split."""

    def first(split: Split, count: int | None) -> Split:
        return split if count is None else Split(split.images[:count], split.labels[:count])

    return dataclasses.replace(data, train=first(data.train, train), test=first(data.test, test))
