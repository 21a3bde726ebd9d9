"""Checks of the generators' parameters; each error says what would be accepted."""

import math
from collections.abc import Sequence
from typing import Any

from openwork.errors import ArgumentError


def check_count(argument: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"`{argument}`={value!r} must be a whole number of at least {least}")
    return value


def check_seed(value: int) -> int:
    check_count("seed", value, 0)
    # The range of torch's generators and of `layer_seed`.
    if value >= 2**64:
        raise ArgumentError(f"`seed`={value!r} must be below 2**64")
    return value


def check_flag(argument: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"`{argument}`={value!r} must be true or false")
    return value


def is_number(value: Any) -> bool:
    """Whether `value` is a Python int or float; a bool is not a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_density(value: float, argument: str = "density") -> float:
    if not is_number(value) or not 0 < value <= 1:
        raise ArgumentError(
            f"`{argument}`={value!r} must lie in (0, 1]: it is the share of live connections; "
            "1 is dense, and 0 would leave none"
        )
    return float(value)


def check_choice(argument: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ArgumentError(
            f"`{argument}`={value!r} must be one of {', '.join(map(repr, choices))}"
        )
    return value


def check_groups(
    out_channels: int,
    in_channels: int,
    groups: int,
    argument: str = "groups",
    multiple_of: int = 1,
) -> int:
    check_count(argument, groups)
    if out_channels % groups or in_channels % groups or groups % multiple_of:
        common = math.gcd(out_channels, in_channels)
        feasible = [n for n in range(multiple_of, common + 1, multiple_of) if common % n == 0]
        multiple = f" and be a multiple of the layer's own {multiple_of} groups"
        raise ArgumentError(
            f"`{argument}`={groups} must divide both `out_channels`={out_channels} and "
            f"`in_channels`={in_channels}{multiple if multiple_of > 1 else ''}; "
            f"feasible: {', '.join(map(str, feasible))}"
        )
    return groups


def check_kernel(kernel: int | Sequence[int]) -> tuple[int, ...]:
    """A kernel as a tuple: `k` means `(k, k)`, and `()` is a linear layer."""
    if isinstance(kernel, int):
        kernel = (kernel, kernel)
    if not isinstance(kernel, Sequence) or len(kernel) not in (0, 2):
        raise ArgumentError(
            f"`kernel`={kernel!r} must be one number, a pair (height, width), or () for a linear "
            "layer"
        )
    for size in kernel:
        check_count("kernel", size)
    return tuple(kernel)
