"""Equal fan-out for every input and equal fan-in for every output: which of them are possible.

A layer of n outputs and p inputs has `n * fan_in = p * fan_out` connections. With
g = gcd(n, p) that leaves the fan-outs n/g, 2n/g, ..., n: densities in steps of 1/g.
"""

import math
from collections.abc import Iterable

from openwork._arguments import check_count, check_density, check_flag
from openwork.errors import ArgumentError


def check_one_of(density: float | None, fan_out: int | None) -> None:
    """Refuse both or neither of `density` and `fan_out`."""
    if (density is None) == (fan_out is None):
        raise ArgumentError(
            f"`density`={density!r} and `fan_out`={fan_out!r}: exactly one of the two must be given"
        )
    if density is not None:
        check_density(density)
    if fan_out is not None:
        check_count("fan_out", fan_out)


def regular_fan_out(
    outputs: int, inputs: int, density: float | None, fan_out: int | None, nearest: bool
) -> int:
    """The fan-out of each input, given itself or as a density.

    Args:
        outputs, inputs: sizes of the layer, or of one of its groups.
        density, fan_out: exactly one of them.
        nearest: take the nearest possible one instead of refusing; the sparser of two equally near.

    Raises:
        ArgumentError: both or neither given, or an impossible one; the nearest ones are named.
    """
    check_one_of(density, fan_out)
    check_flag("nearest", nearest)
    # What lies above all outputs is as impossible as twice as many, which floats can hold.
    wished = min(fan_out, 2 * outputs) if fan_out is not None else float(density or 0) * outputs
    step = outputs // math.gcd(outputs, inputs)
    around = (math.floor(wished / step) * step, math.ceil(wished / step) * step)
    possible = sorted({min(max(step, fans), outputs) for fans in around})
    found = min(possible, key=lambda fans: abs(fans - wished))
    # 0.07 * 100 lies above 7 in floats; so near to a fan-out, that fan-out is meant.
    if nearest or math.isclose(found, wished, rel_tol=1e-9):
        return found
    given = f"`fan_out`={fan_out}" if fan_out is not None else f"`density`={density}"
    options = " or ".join(f"{f} (density {f / outputs:.10g})" for f in possible)
    raise ArgumentError(
        f"{given} is impossible for {outputs} outputs and {inputs} inputs with equal fans: "
        f"the fan-out must be a multiple of {step}, at most {outputs}; nearest: fan_out {options}"
    )


def nearest_two(value: float, feasible: Iterable[int]) -> str:
    """The feasible numbers on both sides of `value`, as words: "4 or 6"."""
    numbers = sorted(feasible)
    below = [n for n in numbers if n <= value][-1:]
    above = [n for n in numbers if n > value][:1]
    return " or ".join(map(str, below + above))
