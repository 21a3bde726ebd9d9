"""`PatternSpec`: the kind of a pattern and its parameters as data, for a layer of any size."""

# pyright: reportUnnecessaryIsInstance=false
# What is given is checked: files and callers without types say anything.

import difflib
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

from openwork._arguments import check_choice, check_count, check_density, check_flag
from openwork.errors import ArgumentError, PlanError
from openwork.patterns.block import block
from openwork.patterns.clash_free import check_type, clash_free
from openwork.patterns.dense import dense
from openwork.patterns.fans import check_one_of
from openwork.patterns.grouped import grouped
from openwork.patterns.pattern import Pattern
from openwork.patterns.random import FANS, random
from openwork.patterns.ssc import ORDERS, ssc
from openwork.patterns.structured import structured

__all__ = ["nests"]

KINDS: dict[str, Callable[..., Pattern]] = {
    "block": block,
    "clash_free": clash_free,
    "dense": dense,
    "grouped": grouped,
    "random": random,
    "ssc": ssc,
    "structured": structured,
}
"""Every pattern that a plan can name, and its generator. The parameters of a spec are those of the
generator except the ones that the layer determines: channels, kernel, groups and seed. If the
generator has `layer_groups`, those are the layer's groups, and `groups` is a parameter."""

# Checked when a plan is written, before the sizes of its layers are known.
_RULES: dict[str, Callable[[Any], object]] = {
    "density": check_density,
    "fan": lambda value: check_choice("fan", value, FANS),
    "order": lambda value: check_choice("order", value, ORDERS),
    "shift": lambda value: check_count("shift", value, 0),
    "type": check_type,
    **{
        name: partial(check_count, name)
        for name in ("b_in", "b_out", "fan_out", "groups", "taps", "z")
    },
    **{name: partial(check_flag, name) for name in ("cycle", "dither", "nearest")},
}
_OF_THE_LAYER = {"out_channels", "in_channels", "kernel", "groups", "layer_groups", "seed"}
_REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class PatternSpec:
    """A kind of pattern and its parameters, for a layer of any size.

    Args:
        kind: a key of `patterns.KINDS`: "block", "clash_free", "dense", "grouped", "random", "ssc"
            or "structured".
        parameters: keyword arguments of that generator, as sorted pairs.

    Raises:
        PlanError: an unknown kind or parameter, a missing parameter, or a value that is invalid
            for every layer.

    >>> PatternSpec.of("random", density=0.1)
    PatternSpec(kind='random', parameters=(('density', 0.1),))
    """

    kind: str
    parameters: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise PlanError(f"unknown pattern {self.kind!r}{_meant(str(self.kind), KINDS)}")
        allowed = parameters_of(self.kind)
        for name, _ in self.parameters:
            if name not in allowed:
                raise PlanError(
                    f"pattern {self.kind!r} has no parameter {name!r}{_meant(name, allowed)}"
                )
        values = dict(self.parameters)
        for name, parameter in allowed.items():
            if parameter.default is _REQUIRED and name not in values:
                raise PlanError(f"pattern {self.kind!r} needs the parameter {name!r}")
        try:
            for name, value in self.parameters:
                _RULES[name](value)
            if "fan_out" in allowed:
                check_one_of(values.get("density"), values.get("fan_out"))
        except ArgumentError as error:
            raise PlanError(f"pattern {self.kind!r}: {error}") from error

    @classmethod
    def of(cls, kind: str, **parameters: Any) -> Self:
        """The spec of `kind` with keyword `parameters`."""
        return cls(kind, tuple(sorted(parameters.items())))

    def build(self, shape: Sequence[int], groups: int, seed: int) -> Pattern:
        """The pattern of a layer, drawn from `seed`.

        Args:
            shape: shape of the weight, `(out_channels, in_channels / groups, kh, kw)` or
                `(out_channels, in_channels)`.
            groups: groups of the convolution.
            seed: whole number >= 0; ignored by kinds that draw nothing.

        Raises:
            ArgumentError: the parameters do not fit the layer.
        """
        generator = KINDS[self.kind]
        accepted = inspect.signature(generator).parameters
        of_the_layer = {"layer_groups" if "layer_groups" in accepted else "groups": groups}
        if "seed" in accepted:
            of_the_layer["seed"] = seed
        channels = (shape[0], shape[1] * groups)
        return generator(*channels, tuple(shape[2:]), **of_the_layer, **dict(self.parameters))

    def to_data(self) -> Any:
        """Plain data: just the kind, or a mapping `{"pattern": kind, ...}`."""
        if not self.parameters:
            return self.kind
        return {"pattern": self.kind, **dict(self.parameters)}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The inverse of `to_data`.

        Raises:
            PlanError: `data` is neither a name nor a mapping with the key `pattern`.
        """
        if isinstance(data, str):
            return cls(data)
        entries: Mapping[Any, Any] = (
            cast(Mapping[Any, Any], data) if isinstance(data, Mapping) else {}
        )
        if not isinstance(entries.get("pattern"), str):
            raise PlanError(
                f"{data!r} is not a pattern; write a name such as dense or a mapping such as "
                "{pattern: random, density: 0.1}"
            )
        pairs = ((str(key), value) for key, value in entries.items() if key != "pattern")
        return cls(entries["pattern"], tuple(sorted(pairs, key=operator.itemgetter(0))))


def nests(kind: str) -> bool:
    """Whether a denser pattern of `kind` contains the sparser ones with the same seed."""
    return kind in ("block", "random")


def parameters_of(kind: str) -> dict[str, inspect.Parameter]:
    """The parameters that a spec of `kind` may set."""
    accepted = dict(inspect.signature(KINDS[kind]).parameters)
    free: set[str] = {"groups"} if "layer_groups" in accepted else set()
    return {name: accepted[name] for name in accepted if name not in _OF_THE_LAYER - free}


def _meant(name: str, choices: Iterable[str]) -> str:
    choices = list(choices)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} choose from {', '.join(choices)}" if choices else f"{hint} it takes none"
