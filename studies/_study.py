"""What the studies share: intervals, pictures and samples of the data."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

import openwork as ow
from openwork.data import DataSet, Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of `values`, and half the width of its 95 % interval (Student's t)."""
    if len(values) < 2:
        return values[0], math.nan
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), _T[min(len(values) - 1, len(_T)) - 1] * spread


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


def parameters(model: nn.Module) -> int:
    """Parameters of all layers."""
    return sum(p.numel() for p in model.parameters())


def parameters_without_softmax(model: nn.Module) -> int:
    """Parameters of all layers but the last linear one, as the sparsity paper counts them."""
    heads = [m for m in model.modules() if isinstance(m, nn.Linear | ow.SparseLinear)]
    head = sum(p.numel() for p in heads[-1].parameters())
    return parameters(model) - head


@functools.cache
def loaded(name: str) -> DataSet:
    """A data set, read once by a process: decoding it takes as long as some cells."""
    return ow.data.load(name)


def first_samples(data: DataSet, train: int | None = None, test: int | None = None) -> DataSet:
    """`data` with at most so many samples; None keeps all of a split."""

    def first(split: Split, count: int | None) -> Split:
        return split if count is None else Split(split.images[:count], split.labels[:count])

    return dataclasses.replace(data, train=first(data.train, train), test=first(data.test, test))
