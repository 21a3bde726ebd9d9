"""Plain data, as JSON can store it."""

import json
from collections.abc import Mapping
from typing import Any

from openwork._json import decode_mapping
from openwork.errors import ArgumentError

__all__ = ["plain"]


def plain(argument: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as they come back from a JSON file.

    Raises:
        ArgumentError: `values` hold anything but plain data; the message names `argument`.
    """
    try:
        return decode_mapping(json.dumps(dict(values)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"`{argument}`={values!r} must map names to plain numbers and strings, or to lists and "
            f"mappings of those ({error}); call .item() on a tensor"
        ) from error
