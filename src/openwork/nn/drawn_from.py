"""Where a sparse layer comes from: what it takes to redraw its pattern, or a denser one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from openwork.patterns import PatternSpec

__all__ = ["DrawnFrom"]


@dataclass(frozen=True)
class DrawnFrom:
    """What a layer's pattern was drawn from.

    Attributes:
        spec: the kind of pattern and its parameters.
        seed: the layer's seed, derived from the plan's seed and the layer's name.
        deviation: standard deviation of the dense weights that the layer replaced.
    """

    spec: PatternSpec
    seed: int
    deviation: float

    def to_dict(self) -> dict[str, Any]:
        """The origin as plain data."""
        return {"spec": self.spec.to_data(), "seed": self.seed, "deviation": self.deviation}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        spec = PatternSpec.from_data(data["spec"])
        return cls(spec, int(data["seed"]), float(data["deviation"]))
