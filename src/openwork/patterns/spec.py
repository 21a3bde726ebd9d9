"""`PatternSpec`: the name of a pattern and its parameters, as data; a layer's sizes come later."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from openwork.errors import PlanError
from openwork.patterns._checks import check_choice, check_count, check_density
from openwork.patterns.block import block
from openwork.patterns.dense import dense
from openwork.patterns.pattern import Pattern
from openwork.patterns.random import FANS, random

KINDS: dict[str, Callable[..., Pattern]] = {"dense": dense, "random": random, "block": block}
"""Every pattern that a plan can name. Parameters of the generator beyond the layer's own sizes
(channels, kernel, groups, seed) are the parameters of the spec."""

# What can be judged before a layer's sizes are known is judged when the plan is written.
_RULES: dict[str, Callable[[Any], object]] = {
    "density": check_density,
    "fan": lambda value: check_choice("fan", value, FANS),
    "b_out": lambda value: check_count("b_out", value),
    "b_in": lambda value: check_count("b_in", value),
}
_OF_THE_LAYER = {"out_channels", "in_channels", "kernel", "groups", "seed"}


@dataclass(frozen=True)
class PatternSpec:
    """A kind of pattern and its parameters, for a layer of any size.

    Args:
        kind: a key of `patterns.KINDS`: "dense", "random", "block".
        parameters: keyword parameters of that generator, as sorted pairs.

    Raises:
        PlanError: unknown kind or parameter, or a value that no layer could take.

    >>> PatternSpec.of("random", density=0.1)
    PatternSpec(kind='random', parameters=(('density', 0.1),))
    """

    kind: str
    parameters: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlanError(f"unknown pattern {self.kind!r}{_meant(self.kind, list(KINDS))}")
        allowed = parameters_of(self.kind)
        for name, value in self.parameters:
            if name not in allowed:
                raise PlanError(
                    f"pattern {self.kind!r} has no parameter {name!r}{_meant(name, allowed)}"
                )
            try:
                _RULES[name](value)
            except ValueError as error:
                raise PlanError(f"pattern {self.kind!r}: {error}") from error

    @classmethod
    def of(cls, kind: str, **parameters: Any) -> Self:
        """The spec of `kind` with keyword `parameters`."""
        return cls(kind, tuple(sorted(parameters.items())))

    def build(self, shape: Sequence[int], groups: int, seed: int) -> Pattern:
        """The pattern for a weight of `shape` (out, in / groups, ...), drawn from `seed`."""
        parameters = dict(self.parameters)
        if "seed" in inspect.signature(KINDS[self.kind]).parameters:
            parameters["seed"] = seed
        return KINDS[self.kind](
            shape[0], shape[1] * groups, tuple(shape[2:]), groups=groups, **parameters
        )

    def to_data(self) -> Any:
        """Plain data: the bare kind, or a mapping `{pattern: kind, ...}`."""
        if not self.parameters:
            return self.kind
        return {"pattern": self.kind, **dict(self.parameters)}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The inverse of `to_data`.

        Raises:
            PlanError: not a name or a mapping with the key `pattern`.
        """
        if isinstance(data, str):
            return cls(data)
        if not isinstance(data, Mapping) or not isinstance(data.get("pattern"), str):
            raise PlanError(
                f"{data!r} is not a pattern; write a name such as dense, or a mapping such as "
                "{pattern: random, density: 0.1}"
            )
        return cls.of(**{"kind" if key == "pattern" else str(key): v for key, v in data.items()})


def parameters_of(kind: str) -> list[str]:
    """The parameters that a spec of `kind` may set."""
    return [name for name in inspect.signature(KINDS[kind]).parameters if name not in _OF_THE_LAYER]


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} there is {', '.join(known) or 'none'}"
