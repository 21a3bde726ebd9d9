"""A ratio for each layer: globs over layer names, as in a `Plan`."""

from collections.abc import Mapping
from typing import Any

from openwork.errors import ArgumentError, PlanError
from openwork.nn.globs import check_glob, matches
from openwork.prune.units.units import Group, Units


def ratio_by_group(units: Units, ratios: Mapping[str, Any]) -> list[Any]:
    """The ratio of each group, by the last glob that matches; 0 where none does.

    Args:
        units: what is cut.
        ratios: glob over layer names -> ratio, which is not checked.

    Raises:
        PlanError: a glob matches no layer that is cut.
        ArgumentError: tied layers have different ratios, or there is no glob.
    """
    if not ratios:
        raise ArgumentError("`ratio`={} must map at least one layer glob to a ratio")
    groups = units.groups
    names = [name for group in groups for name in group.layers]
    for glob in ratios:
        check_glob(glob)
        if not any(_matches(units, glob, name) for name in names):
            raise PlanError(
                f"`ratio` has {glob!r}, which matches none of the layers that are cut: "
                f"{', '.join(map(repr, names))}"
            )
    return [_ratio_of(units, group, ratios) for group in groups]


def _ratio_of(units: Units, group: Group, ratios: Mapping[str, Any]) -> Any:
    found: dict[str, Any] = {}
    for name in group.layers:
        for glob, ratio in ratios.items():
            if _matches(units, glob, name):
                found[name] = ratio
    different = list(dict.fromkeys(found.values()))
    if len(different) > 1:
        each = ", ".join(f"{ratio!r} for {name!r}" for name, ratio in found.items())
        raise ArgumentError(f"`ratio` must be one number for {group.name}, but has {each}")
    return different[0] if different else 0.0


def _matches(units: Units, glob: str, name: str) -> bool:
    return matches(glob, name, units.layers[name].module)
