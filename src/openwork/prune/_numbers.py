"""The rule that a share or a ratio must be a number in its range."""

from collections.abc import Callable
from numbers import Real
from typing import Any

from openwork.errors import ArgumentError


def check_number(argument: str, value: Any, rule: str, holds: Callable[[float], bool]) -> float:
    """`value` as a float; `holds` says whether it obeys the `rule`, which NaN never does.

    Raises:
        ArgumentError: it is no number, or breaks the rule.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not holds(float(value)):
        raise ArgumentError(f"`{argument}`={value!r} must be a number {rule}")
    return float(value)
