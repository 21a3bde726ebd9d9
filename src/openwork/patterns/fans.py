"""Which equal fan-outs (for every input) and fan-ins (for every output) are possible.

A layer of n outputs and p inputs has `n * fan_in = p * fan_out` connections. With
g = gcd(n, p), the possible fan-outs are n/g, 2n/g, ..., n: densities in steps of 1/g.
"""

import math
from collections.abc import Iterable

from openwork._arguments import check_count, check_density, check_flag
from openwork.errors import ArgumentError


def check_one_of(density: float | None, fan_out: int | None) -> None:
    """Require exactly one of `density` and `fan_out`."""
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
    """The fan-out of each input, from a fan-out or a density.

    Args:
        outputs, inputs: sizes of the layer, or of one of its groups.
        density, fan_out: exactly one of them.
        nearest: round an impossible fan-out to the nearest possible one (the sparser on a tie)
            instead of raising.

    Raises:
        ArgumentError: both or neither is given, or the fan-out is impossible; the message names
            the nearest possible ones.
    """
    check_one_of(density, fan_out)
    check_flag("nearest", nearest)
    # Capped, because a huge int does not fit into a float; anything above `outputs` is refused.
    wanted = min(fan_out, 2 * outputs) if fan_out is not None else float(density or 0) * outputs
    step = outputs // math.gcd(outputs, inputs)
    around = (math.floor(wanted / step) * step, math.ceil(wanted / step) * step)
    possible = sorted({min(max(step, fans), outputs) for fans in around})
    closest = min(possible, key=lambda fans: abs(fans - wanted))
    # In floats 0.07 * 100 is slightly above 7, which is what was meant.
    if nearest or math.isclose(closest, wanted, rel_tol=1e-9):
        return closest
    argument = f"`fan_out`={fan_out}" if fan_out is not None else f"`density`={density}"
    options = " or ".join(f"{f} (density {f / outputs:.10g})" for f in possible)
    raise ArgumentError(
        f"{argument} is impossible for {outputs} outputs and {inputs} inputs with equal fans: "
        f"the fan-out must be a multiple of {step}, at most {outputs}; nearest: fan_out {options}"
    )


def nearest_two(value: float, feasible: Iterable[int]) -> str:
    """The feasible numbers just below and above `value`, as text: "4 or 6"."""
    numbers = sorted(feasible)
    below = [n for n in numbers if n <= value][-1:]
    above = [n for n in numbers if n > value][:1]
    return " or ".join(map(str, below + above))
