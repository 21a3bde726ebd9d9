"""JSON files of ours, and JSON that others wrote: bounded in depth, or one kind of error."""

import json
import os
from collections.abc import Mapping
from typing import Any, cast

from openwork._files import write_text, writing

# Levels of lists and mappings: what handles them later calls itself for each.
_DEEPEST = 100
# Far more than any number of ours, and fewer than Python refuses to print.
_MOST_DIGITS = 1000


def decode_json(text: str | bytes) -> Any:
    """The data in the JSON `text`, in UTF-8 if it is bytes.

    Raises:
        ValueError: not JSON, nested more than 100 deep, or a whole number of over 1,000 digits.
    """
    try:
        data = json.loads(text.decode() if isinstance(text, bytes) else text, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {_DEEPEST} deep") from error
    _check_depth(data)
    return data


def decode_mapping(text: str | bytes) -> dict[str, Any]:
    """As `decode_json`, for data that must be a mapping.

    Raises:
        ValueError: as for `decode_json`, or the data is something else.
    """
    data = decode_json(text)
    if not isinstance(data, dict):
        raise ValueError(f"it holds a {type(data).__name__} in the place of a mapping")
    return cast(dict[str, Any], data)


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write `data` to `path`, all of it or nothing.

    Raises:
        OpenworkError: `path` cannot be written; an earlier file there is unharmed.
    """
    with writing(path):
        write_text(path, json.dumps(data, indent=2) + "\n")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


def _check_depth(data: Any) -> None:
    level: list[Any] = [data] if isinstance(data, dict | list) else []
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for item in level:
            held = cast(dict[str, Any], item).values() if isinstance(item, dict) else item
            deeper += [each for each in held if isinstance(each, dict | list)]
        if not deeper:
            return
        level = deeper
    raise ValueError(f"it is nested more than {_DEEPEST} deep")
