"""Spending milliseconds: which densities are worth most in the time that is asked for."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from openwork.errors import ArgumentError, OpenworkError
from openwork.nn.timing.clock import CompiledTimes

__all__ = ["DENSITIES", "LayerCosts", "check_milliseconds", "in_time"]

# How far the measured time may be from the asked one.
TOLERANCE = 0.05
# Plans that are measured as a whole at most.
_TRIES = 8
# Densities at which layers are measured; a layer that must keep more is measured at its least.
DENSITIES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)


class LayerCosts:
    """What each layer takes at any density, between those that were measured.

    Args:
        measured: (density of each layer, times) of networks of different densities.
    """

    def __init__(self, measured: Sequence[tuple[Mapping[str, float], CompiledTimes]]) -> None:
        self._curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in measured[0][0]:
            # Of equal densities the least time counts.
            times: dict[float, float] = {}
            for densities, found in measured:
                seconds = found.layers.get(name, 0.0)
                density = densities[name]
                times[density] = min(seconds, times.get(density, seconds))
            points = sorted(times.items())
            self._curves[name] = np.array([p[0] for p in points]), np.array([p[1] for p in points])
        rests = [t.whole - sum(t.layers.values()) for _, t in measured]
        self._fixed = float(np.median(rests))
        others = (sum(s for n, s in t.layers.items() if n not in self._curves) for _, t in measured)
        self._fixed += float(np.median(list(others)))

    def seconds(self, name: str, density: Any) -> Any:
        """What layer `name` takes at `density`, a number or an array of them."""
        return np.interp(density, *self._curves[name])

    def whole(self, densities: Mapping[str, float]) -> float:
        """What the network takes with these densities of its layers."""
        return self._fixed + sum(float(self.seconds(n, d)) for n, d in densities.items())


class TimedChoices(Protocol):
    """Items, each at one of its levels; a higher level is worth more and may take longer."""

    @property
    def worth(self) -> Sequence[np.ndarray]:
        """For each item the worth of its levels, (levels,), ascending."""
        ...

    def seconds(self, levels: Sequence[int], item: int) -> np.ndarray:
        """What the network takes, up to a constant, with `item` at each level: (levels,)."""
        ...

    def touched(self, item: int) -> Sequence[int]:
        """The items whose `seconds` differ once `item` has another level, itself included."""
        ...


def spend(choices: TimedChoices, seconds: float) -> list[int]:
    """The levels that are worth most without adding more than `seconds` to the lowest levels.

    Greedy: all items start at the lowest level. The step, of one item to any higher level, that
    adds most worth per second is taken, until none fits. Steps that take no time are free. Where
    the time of an item depends on its level alone this is the optimum but for the last step.
    """
    levels = [0] * len(choices.worth)
    steps = {item: _steps(choices, levels, item) for item in range(len(levels))}
    left = seconds
    while True:
        found = [(*_best(*steps[item], left), -item) for item in steps]
        rate, saved, level, item = max(found)
        if not rate:
            return levels
        left += saved
        levels[-item] = level
        steps |= {other: _steps(choices, levels, other) for other in choices.touched(-item)}


def _best(rate: np.ndarray, cost: np.ndarray, left: float) -> tuple[float, float, int]:
    """(worth per second, seconds saved, level) of the best step that fits; a rate of 0: none does.

    Of the steps that take no time, the best is the one that saves most.
    """
    rate = np.where(cost <= max(left, 0.0), rate, 0.0)
    order = np.lexsort((-cost, rate)) if np.isinf(rate).any() else np.argsort(rate, kind="stable")
    level = int(order[-1])
    return float(rate[level]), -float(cost[level]), level


def _steps(
    choices: TimedChoices, levels: Sequence[int], item: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each level of `item`: worth per second of the step there, and its seconds."""
    own, worth = levels[item], choices.worth[item]
    seconds = choices.seconds(levels, item)
    cost, gain = seconds - seconds[own], worth - worth[own]
    rate = np.where(cost > 0, gain / np.where(cost > 0, cost, 1.0), np.inf)
    rate[: own + 1] = 0
    return rate, cost


def in_time(
    milliseconds: float,
    choices: TimedChoices,
    lowest: float,
    names: Sequence[str],
    measure: Callable[[Sequence[int]], CompiledTimes],
) -> tuple[list[int], float]:
    """The levels that are worth most in a network that takes so many milliseconds, within 5 %.

    What `spend` expects is corrected by measuring whole networks.

    Args:
        milliseconds: the time that is asked for.
        choices: what there is to choose from.
        lowest: the seconds expected of the network with all items at their lowest levels.
        names: the layers that the choice is about, for messages.
        measure: levels -> the times of the compiled network with them.

    Returns:
        The levels, and the milliseconds measured.

    Raises:
        ArgumentError: the network cannot be as fast or as slow; the message says what it can be.
        OpenworkError: the times vary too much.
    """
    asked = 1e-3 * milliseconds
    fastest, densest = spend(choices, -math.inf), [len(worth) - 1 for worth in choices.worth]
    aim, tried = asked, list[tuple[float, float]]()
    for _ in range(_TRIES):
        levels = spend(choices, aim - lowest)
        times = measure(levels)
        if abs(times.whole / asked - 1) <= TOLERANCE:
            return levels, 1e3 * times.whole
        if levels == fastest and times.whole > asked:
            raise _too_fast(milliseconds, times, names)
        if levels == densest and times.whole < asked:
            raise ArgumentError(
                f"`milliseconds`={milliseconds:g} is more than the network takes with all its "
                f"layers dense ({1e3 * times.whole:.3g} ms), so nothing needs to be removed"
            )
        tried.append((aim, times.whole))
        aim = _next_aim(tried, asked)
    found = ", ".join(f"{1e3 * whole:.3g}" for _, whole in tried)
    raise OpenworkError(
        f"`milliseconds`={milliseconds:g} was not met within {TOLERANCE:.0%} by any of "
        f"{len(tried)} plans, which took {found} ms; use a machine that is less busy, or ask for "
        "one of these times"
    )


def _next_aim(tried: Sequence[tuple[float, float]], asked: float) -> float:
    """What to aim at after the (aim, seconds measured) so far."""
    below = [(whole, aim) for aim, whole in tried if whole < asked]
    above = [(whole, aim) for aim, whole in tried if whole > asked]
    if not below or not above:
        aim, whole = tried[-1]
        return aim * asked / whole
    (low, low_aim), (high, high_aim) = max(below), min(above)
    return low_aim + (high_aim - low_aim) * (asked - low) / (high - low)


def _too_fast(milliseconds: float, times: CompiledTimes, names: Sequence[str]) -> ArgumentError:
    own = sorted(((1e3 * times.layers.get(n, 0.0), n) for n in names), reverse=True)
    whole = 1e3 * times.whole
    slowest = ", ".join(f"{name!r} ({taken:.2g} ms)" for taken, name in own[:3])
    rest = max(0.0, whole - sum(taken for taken, _ in own))
    return ArgumentError(
        f"`milliseconds`={milliseconds:g} cannot be reached: the fastest is {whole:.3g} ms, with "
        f"every layer as sparse as it may be. The layers that hold it back are {slowest}; "
        f"{rest:.2g} ms are spent outside the layers that may be cut. Ask for more time, or let "
        "more layers be cut"
    )


def check_milliseconds(value: Any, example: Any) -> float:
    """It is a time, and there is an input to measure with.

    Raises:
        ArgumentError: it is not, or there is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ArgumentError(f"`milliseconds`={value!r} must be a positive number below 1e9")
    if example is None:
        raise ArgumentError(
            "`milliseconds` needs `example`, the input batch (N, ...) that the network is to run "
            "in this time"
        )
    return float(value)
