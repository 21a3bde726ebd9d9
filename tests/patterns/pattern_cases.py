"""Sizes that hypothesis tries on every generator of equal fans, and what each must keep to."""

import math
import tracemalloc
from collections.abc import Callable

from hypothesis import strategies as st

from openwork.patterns import Pattern


@st.composite
def regular_sizes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(outputs, inputs, groups, a fan-out that is possible in each group)."""
    outputs, inputs, groups = (draw(st.integers(1, n)) for n in (24, 24, 3))
    common = math.gcd(outputs, inputs)
    fan_out = draw(st.integers(1, common)) * outputs // common
    return outputs * groups, inputs * groups, groups, fan_out


def peak_bytes(make: Callable[[], Pattern]) -> int:
    """The most memory that `make` held at once."""
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
