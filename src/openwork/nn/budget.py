"""Spreading the density of a whole network over its layers."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork._arguments import check_choice, check_density
from openwork.errors import ArgumentError, PlanError
from openwork.nn.cost import count_macs
from openwork.nn.globs import check_glob, matches
from openwork.nn.layers import Dense, dense_layers, why_left
from openwork.nn.sparse_layer import groups_of, pattern_shape
from openwork.patterns import KINDS, PatternSpec
from openwork.patterns.block import check_divides
from openwork.patterns.random import least_fan_in
from openwork.patterns.spec import nests

_TOLERANCE = 0.01


@dataclass(frozen=True)
class BudgetLayer:
    """What the budget needs to know about a layer.

    Density changes in steps: one block in every row of blocks with a fixed fan-in, otherwise a
    single block.

    Attributes:
        shape: shape of the weight, (out, in / groups, ...).
        place: number of the layer, from 1, divided by the number of layers.
        uses: multiply-adds per image in which each weight takes part.
        least, most: live steps, at least and at most. `least` leaves no channel unconnected; it
            equals `most` for a layer that is kept dense.
        cost: weights, or multiply-adds, per step.
    """

    shape: tuple[int, ...]
    place: float
    uses: float
    least: int
    most: int
    cost: float

    def steps(self, density: float) -> int:
        """The number of live steps at about `density`."""
        return min(self.most, max(self.least, math.floor(density * self.most + 0.5)))


RULES: dict[str, Callable[[BudgetLayer], float]] = {
    "uniform": lambda layer: 1.0,
    "erk": lambda layer: sum(layer.shape) / math.prod(layer.shape),
    "late_dense": lambda layer: layer.place,
    "macs": lambda layer: layer.uses**-0.5,
}
"""Rule -> (layer -> its density, capped at 1, up to a factor common to all layers)."""


def budget(
    model: nn.Module,
    density: float,
    by: str,
    keep: Sequence[str],
    example: Any,
    pattern: str | Mapping[str, object],
) -> dict[str, PatternSpec]:
    """The spec of each layer of `model`, by qualified name; see `Plan.budget`."""
    check_density(density)
    spec, layers = budget_layers(model, by, keep, example, pattern)
    kept = len(_kept(keep, dense_layers(model)))
    live = _spread(layers, kept, density, RULES[by], "MACs" if by == "macs" else "weights")
    return specs_of(spec, layers, live)


def budget_layers(
    model: nn.Module,
    by: str,
    keep: Sequence[str],
    example: Any,
    pattern: str | Mapping[str, object],
) -> tuple[PatternSpec, dict[str, BudgetLayer]]:
    """The pattern without its density, and the layers of `model` that share a budget, by name.

    Raises:
        PlanError, ArgumentError: as for `Plan.budget`.
    """
    check_choice("by", by, tuple(RULES))
    spec = _spec(pattern)
    modules = dense_layers(model)
    if not modules:
        why = why_left(model)
        raise ArgumentError(f"`model` has no layer that can be made sparse{why and f'; {why}'}")
    kept = _kept(keep, modules)
    return spec, _describe(modules, spec, _uses(model, modules, by, example), kept)


def specs_of(
    spec: PatternSpec, layers: Mapping[str, BudgetLayer], live: Mapping[str, int]
) -> dict[str, PatternSpec]:
    """`spec` with the density that `live` steps of each layer are."""
    return {
        name: PatternSpec.of("dense")
        if live[name] == layer.most
        else PatternSpec.of(
            spec.kind, **{**dict(spec.parameters), "density": live[name] / layer.most}
        )
        for name, layer in layers.items()
    }


def budget_arguments(data: Any) -> dict[str, Any]:
    """The `budget` of a plan's file as arguments of `Plan.budget`, which checks their values.

    Raises:
        PlanError: not one of macs, parameters and milliseconds, a rule that does not go with it,
            or unknown keys.
    """
    names = ("parameters", "macs", "milliseconds")
    units = [unit for unit in names if isinstance(data, Mapping) and unit in data]
    known = {*names, "by", "keep", "pattern"}
    by_macs = units == ["macs"]
    if len(units) != 1 or set(data) - known or (data.get("by", units[0]) == "macs") != by_macs:
        raise PlanError(
            f"`budget`={data!r} must have either parameters or macs, the share that lives, or "
            "milliseconds. It may have keep and pattern, and by with parameters and milliseconds, "
            "such as {parameters: 0.1, by: erk} or {macs: 0.1, keep: [conv1]}"
        )
    rest = {key: value for key, value in data.items() if key not in units}
    if units == ["milliseconds"]:
        return dict(data)
    return rest | {"density": data[units[0]]} | ({"by": "macs"} if by_macs else {})


def _spread(
    layers: Mapping[str, BudgetLayer],
    kept: int,
    density: float,
    rule: Callable[[BudgetLayer], float],
    unit: str,
) -> dict[str, int]:
    """Live steps of each layer; `kept` layers are fixed as dense.

    All layers start with the fewest connections possible, and a common factor on the rule rises
    until the density is met. So the plan of a smaller budget lies inside that of a larger one.
    """
    # The tiny offset makes layers that the rule treats alike step one after another, not at once.
    rules = {n: rule(x) * (1 + 1e-9 * k) for k, (n, x) in enumerate(layers.items())}

    def live(factor: float) -> dict[str, int]:
        return {name: x.steps(factor * rules[name]) for name, x in layers.items()}

    def share(steps: Mapping[str, int]) -> float:
        whole = sum(layer.cost * layer.most for layer in layers.values())
        return sum(layer.cost * steps[name] for name, layer in layers.items()) / whole

    low, high = 0.0, 2 / min(rules.values())
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if share(live(middle)) <= density else (low, middle)
    nearest = min(live(low), live(high), key=lambda steps: abs(share(steps) - density))
    if abs(share(nearest) - density) > _TOLERANCE * density:
        raise ArgumentError(
            f"`density`={density} of the {unit} cannot be met within 1 %: the nearest is "
            f"{share(nearest):.4g}, and the range {share(live(0.0)):.4g} to 1 (every channel needs "
            f"a connection in and out; {kept} layers are kept dense). Use another density, keep "
            "fewer layers dense, or use smaller blocks or fan='uniform' for finer steps"
        )
    return nearest


def _spec(pattern: str | Mapping[str, object]) -> PatternSpec:
    try:
        spec = PatternSpec.from_data(pattern)
    except PlanError as error:
        raise PlanError(f"`pattern`={pattern!r}: {error}") from error
    if not nests(spec.kind) or "density" in dict(spec.parameters):
        raise PlanError(
            f"`pattern`={pattern!r} must be of the kind 'random' or 'block', which allow any "
            "density, and must not set the density, which the budget does"
        )
    return PatternSpec.of(spec.kind, **{"fan": "uniform", **dict(spec.parameters)})


def _kept(keep: Sequence[str], modules: Mapping[str, Dense]) -> set[str]:
    if not isinstance(keep, list | tuple):
        raise ArgumentError(f"`keep`={keep!r} must be a list of layer globs, such as [{keep!r}]")
    kept: set[str] = set()
    for glob in keep:
        matched = {n for n, module in modules.items() if matches(check_glob(glob), n, module)}
        if not matched:
            raise PlanError(
                f"`keep` has {glob!r}, which matches no layer; the layers are "
                f"{', '.join(map(repr, modules))}"
            )
        kept |= matched
    return kept


def _uses(
    model: nn.Module, modules: Mapping[str, Dense], by: str, example: Any
) -> dict[str, float]:
    if by != "macs":
        return dict.fromkeys(modules, 1.0)
    if example is None:
        raise ArgumentError(
            "`by`='macs' needs `example`, an input batch (N, ...): how often a weight is used "
            "depends on the size of the feature maps"
        )
    macs = count_macs(model, example)
    unused = [name for name in modules if not macs.get(name)]
    if unused:
        raise ArgumentError(
            f"`example` does not reach layer {unused[0]!r}, so its MACs are unknown; pass an input "
            "that runs the whole model, or choose another rule"
        )
    return {name: macs[name] / module.weight.numel() for name, module in modules.items()}


def _describe(
    modules: Mapping[str, Dense],
    spec: PatternSpec,
    uses: Mapping[str, float],
    kept: set[str],
) -> dict[str, BudgetLayer]:
    fixed = dict(spec.parameters)["fan"] == "fixed"
    layers: dict[str, BudgetLayer] = {}
    for number, (name, module) in enumerate(modules.items(), start=1):
        shape, groups = pattern_shape(module), groups_of(module)
        b_out, b_in = (1, 1) if name in kept else _block(spec)
        try:
            check_divides("b_out", b_out, shape[0] // groups, "filters")
            check_divides("b_in", b_in, shape[1], "inputs")
        except ArgumentError as error:
            raise PlanError(
                f"layer {name!r}: {error}; or keep the layer dense with `keep`"
            ) from error
        rows, columns = shape[0] // groups // b_out, shape[1] // b_in
        if name in kept:
            least = most = rows * columns
        elif fixed:
            least, most = least_fan_in(rows, columns), columns
        else:
            least, most = max(rows, columns), rows * columns
        cost = math.prod(shape) / most * uses[name]
        layers[name] = BudgetLayer(shape, number / len(modules), uses[name], least, most, cost)
    return layers


def _block(spec: PatternSpec) -> tuple[int, int]:
    """Outputs and inputs per block under `spec`; (1, 1) for single connections."""
    generator = inspect.signature(KINDS[spec.kind]).parameters
    values = dict(spec.parameters)
    sizes = [
        values.get(name, generator[name].default) if name in generator else 1
        for name in ("b_out", "b_in")
    ]
    return sizes[0], sizes[1]
