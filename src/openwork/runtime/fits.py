"""Whether a value is of an annotated type: what was read from a file is checked by annotations."""

import types
from collections.abc import Callable
from typing import Any, Literal, Union, cast, get_args, get_origin

__all__ = ["fits"]


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type, items included."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if origin is Callable:
        return callable(value)
    if origin is list:
        items = cast(list[Any], value)
        return type(value) is list and all(fits(item, inside[0]) for item in items)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        items = cast(tuple[Any, ...], value)
        if len(inside) == 2 and inside[1] is Ellipsis:
            return all(fits(item, inside[0]) for item in items)
        return len(items) == len(inside) and all(map(fits, items, inside))
    if origin is dict:
        keys = cast(dict[Any, Any], value)
        return type(value) is dict and all(isinstance(key, inside[0]) for key in keys)
    # True and False are whole numbers to Python, and must not be here.
    return isinstance(value, hint) and (hint is bool) == isinstance(value, bool)
