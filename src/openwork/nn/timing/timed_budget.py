"""`Plan.budget` in milliseconds: the densities that are worth most in the time asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from openwork._copy import copied
from openwork.errors import ArgumentError
from openwork.nn.budget import RULES, BudgetLayer, budget_layers, specs_of
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import dense_layers, replace
from openwork.nn.sparse_layer import groups_of, pattern_shape
from openwork.nn.timing.clock import CompiledTimes, compiled_times
from openwork.nn.timing.in_time import DENSITIES, LayerCosts, check_milliseconds, in_time
from openwork.patterns import PatternSpec, layer_seed

# Densities between a layer's least and 1 that a plan may choose from.
_LEVELS = 60


class _Densities:
    """The densities of each layer, as `in_time.TimedChoices`.

    A layer is worth -weights * rule**2 / density: where time grows with density, the best
    densities are then proportional to rule / sqrt(time per weight), as with "macs".
    """

    def __init__(self, layers: Mapping[str, BudgetLayer], rule: str, costs: LayerCosts) -> None:
        self.steps: list[np.ndarray] = []
        self.worth: list[np.ndarray] = []
        self._seconds: list[np.ndarray] = []
        for name, layer in layers.items():
            lowest = layer.least / layer.most
            densities = np.geomspace(lowest, 1.0, _LEVELS)
            steps = np.unique([layer.steps(float(density)) for density in densities])
            live = steps / layer.most
            self.steps.append(steps)
            self.worth.append(-float(np.prod(layer.shape)) * RULES[rule](layer) ** 2 / live)
            self._seconds.append(costs.seconds(name, live))

    def seconds(self, levels: Sequence[int], item: int) -> np.ndarray:
        return self._seconds[item]

    def touched(self, item: int) -> Sequence[int]:
        return (item,)

    def live(self, levels: Sequence[int]) -> list[int]:
        """The live steps of each layer."""
        return [int(steps[level]) for steps, level in zip(self.steps, levels, strict=True)]


def timed_budget(
    model: nn.Module,
    milliseconds: float,
    by: str,
    keep: Sequence[str],
    example: Any,
    pattern: str | Mapping[str, object],
    seed: int,
) -> dict[str, PatternSpec]:
    """The spec of each layer of `model`, by qualified name; see `Plan.budget`."""
    check_milliseconds(milliseconds, example)
    if by == "macs":
        raise ArgumentError(
            "`by`='macs' estimates what `milliseconds` measures; use 'uniform', 'erk' or "
            "'late_dense', which say what a weight is worth"
        )
    spec, layers = budget_layers(model, by, keep, example, pattern)

    def measure(live: Mapping[str, int]) -> CompiledTimes:
        return compiled_times(_sparse(model, specs_of(spec, layers, live), seed), example)

    measured = []
    for density in (*DENSITIES, 0.0):
        live = {name: layer.steps(density) for name, layer in layers.items()}
        if live not in (each for each, _ in measured):
            measured.append((live, measure(live)))
    costs = LayerCosts([(_densities(layers, live), times) for live, times in measured])
    choices = _Densities(layers, by, costs)

    def live_at(levels: Sequence[int]) -> dict[str, int]:
        return dict(zip(layers, choices.live(levels), strict=True))

    lowest = costs.whole(_densities(layers, live_at([0] * len(layers))))
    levels, _ = in_time(
        milliseconds, choices, lowest, list(layers), lambda levels: measure(live_at(levels))
    )
    return specs_of(spec, layers, live_at(levels))


def _densities(layers: Mapping[str, BudgetLayer], live: Mapping[str, int]) -> dict[str, float]:
    return {name: live[name] / layer.most for name, layer in layers.items()}


def _sparse(model: nn.Module, specs: Mapping[str, PatternSpec], seed: int) -> nn.Module:
    """A copy of `model` with the patterns that a plan of `specs` and `seed` draws."""
    twin = copied(model)
    layers = dense_layers(twin)
    twins: dict[nn.Module, nn.Module] = {}
    for name, spec in specs.items():
        layer = layers[name]
        pattern = spec.build(pattern_shape(layer), groups_of(layer), layer_seed(seed, name))
        if pattern.density < 1:
            twins[layer] = to_sparse(layer, pattern, init="keep")
    replace(twin, twins)
    return twin
