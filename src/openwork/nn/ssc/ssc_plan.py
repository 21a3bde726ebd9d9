"""`ssc_plan`: structured sparse convolution for a whole network, at a given sparsity."""

import math
from typing import NamedTuple

import numpy as np
from torch import nn

from openwork._arguments import is_number
from openwork.errors import ArgumentError, PlanError
from openwork.nn.globs import escape
from openwork.nn.layers import dense_layers
from openwork.nn.plan import Plan
from openwork.patterns import PatternSpec

TOLERANCE = 0.005
# Sums of live weights that the search distinguishes; in smaller networks the sums are exact.
_SUMS = 2**17


class Rung(NamedTuple):
    """One setting of a layer: its live weights and the parameters of `patterns.ssc`."""

    live: int
    groups: int
    taps: int


def ssc_plan(model: nn.Module, sparsity: float) -> Plan:
    """The plan that turns the convolutions of `model` into structured sparse ones.

    The first convolution stays dense and linear layers are unchanged. Sparsity is counted over the
    weights of all convolutions, including the first. Each layer first loses taps, down to one per
    channel, then channels, in rotating groups. All layers get nearly the same density; the rest of
    the budget goes to the first layers that can use it. If that misses the sparsity, a search finds
    the most even settings that meet it.

    Args:
        model: any module with ordinary convolutions; it is only read.
        sparsity: share of dead convolution weights, in [0, 1).

    Returns:
        A plan with one rule per convolution.

    Raises:
        ArgumentError: a sparsity outside its range, or one that the channel counts cannot meet
            within 0.5 percentage points; the message names the nearest.
        PlanError: fewer than two convolutions.

    Source: the network and layer settings are ours; see `patterns.ssc`.
    """
    if not is_number(sparsity) or not 0 <= sparsity < 1:
        raise ArgumentError(f"`sparsity`={sparsity!r} must be a number in [0, 1), such as 0.9")
    layers = {n: m for n, m in dense_layers(model).items() if isinstance(m, nn.Conv2d)}
    if len(layers) < 2:
        raise PlanError(
            f"{type(model).__name__} has {len(layers)} convolutions; the first one stays dense, so "
            "structured sparse convolution needs at least two"
        )
    first, *others = layers
    total = sum(layer.weight.numel() for layer in layers.values())
    ladders = [_ladder(layers[name]) for name in others]
    budget = (1 - sparsity) * total - layers[first].weight.numel()
    chosen = _spend(ladders, budget)
    if abs(_live(chosen) - budget) > TOLERANCE * total:
        chosen = _search(ladders, budget)
    reached = 1 - (_live(chosen) + layers[first].weight.numel()) / total
    if abs(reached - sparsity) > TOLERANCE:
        raise ArgumentError(
            f"`sparsity`={sparsity} is out of reach with the channel counts of "
            f"{type(model).__name__}; the nearest is {reached:.4f}"
        )
    rules: dict[str, PatternSpec] = {first: PatternSpec("dense")}
    for name, rung in zip(others, chosen, strict=True):
        rules[name] = PatternSpec.of("ssc", groups=rung.groups, taps=rung.taps, order="rotating")
    return Plan({escape(name): rule for name, rule in rules.items()})


def _ladder(layer: nn.Conv2d) -> list[Rung]:
    """The settings of a layer, from dense to sparse."""
    size, coarsest = layer.weight.numel(), layer.groups
    window = math.prod(layer.kernel_size)
    common = math.gcd(layer.in_channels, layer.out_channels)
    finer = [n for n in range(2 * coarsest, common + 1, coarsest) if common % n == 0]
    taps = [Rung(size * kept // window, coarsest, kept) for kept in range(window, 0, -1)]
    return taps + [Rung(size * coarsest // (window * groups), groups, 1) for groups in finer]


def _spend(ladders: list[list[Rung]], budget: float) -> list[Rung]:
    """One rung per ladder, with about `budget` live weights in total if possible."""
    densities = sorted({r.live / ladder[0].live for ladder in ladders for r in ladder})
    steps = [len(ladder) - 1 for ladder in ladders]
    for density in densities:
        tried = [_step_below(ladder, density) for ladder in ladders]
        if sum(ladder[step].live for ladder, step in zip(ladders, tried, strict=True)) > budget:
            break
        steps = tried
    left = budget - sum(ladder[step].live for ladder, step in zip(ladders, steps, strict=True))
    before = math.inf
    while abs(left) < before:
        before = abs(left)
        for index, (ladder, step) in enumerate(zip(ladders, steps, strict=True)):
            gain = ladder[max(0, step - 1)].live - ladder[step].live
            # A gain below twice the remainder brings the total closer to the budget.
            if 0 < gain < 2 * left:
                steps[index] -= 1
                left -= gain
    return [ladder[step] for ladder, step in zip(ladders, steps, strict=True)]


def _search(ladders: list[list[Rung]], budget: float) -> list[Rung]:
    """One rung per ladder: the most even choice within half the tolerance of `budget`.

    If no choice is that close to the budget, the closest one.
    """
    dense = sum(ladder[0].live for ladder in ladders)
    unit = -(-dense // _SUMS)
    # Indexed by the sum of live weights in units: how uneven the best choice is, and its last rung.
    uneven = np.full(dense // unit + len(ladders) + 1, np.inf)
    uneven[0] = 0
    lasts: list[np.ndarray] = []
    for ladder in ladders:
        before, uneven = uneven, np.full_like(uneven, np.inf)
        lasts.append(np.zeros(len(uneven), np.int32))
        fair = max(budget, 1.0) / dense * ladder[0].live
        for index, rung in enumerate(ladder):
            units = round(rung.live / unit)
            sums = before[: len(before) - units] + math.log(rung.live / fair) ** 2
            better = sums < uneven[units:]
            uneven[units:][better] = sums[better]
            lasts[-1][units:][better] = index
    misses = np.where(np.isinf(uneven), np.inf, np.abs(np.arange(len(uneven)) - budget / unit))
    close = misses <= 0.5 * TOLERANCE * dense / unit
    best = int(np.argmin(np.where(close, uneven, np.inf) if close.any() else misses))
    chosen: list[Rung] = []
    for ladder, last in zip(reversed(ladders), reversed(lasts), strict=True):
        chosen.append(ladder[last[best]])
        best -= round(chosen[-1].live / unit)
    return chosen[::-1]


def _live(chosen: list[Rung]) -> int:
    return sum(rung.live for rung in chosen)


def _step_below(ladder: list[Rung], density: float) -> int:
    """Index of the densest rung of at most this density, or of the last rung."""
    fitting = (i for i, rung in enumerate(ladder) if rung.live <= density * ladder[0].live)
    return next(fitting, len(ladder) - 1)
