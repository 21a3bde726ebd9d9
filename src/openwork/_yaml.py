"""YAML written by people: only plain data, and no repeated keys."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from openwork.errors import ArgumentError


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise ArgumentError(f"line {line} merges with `<<`; write the entries out instead")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ArgumentError(f"line {line} has the key {key!r}; a key must be a single word")
            if key in seen:
                raise ArgumentError(f"line {line} gives {key!r} a second time; keep one of the two")
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 treats 1e-3, which everybody writes, as a string.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_mapping(text: str) -> dict[str, Any]:
    """The mapping that `text` holds.

    Raises:
        ArgumentError: not YAML, not a mapping, a repeated key, or implausibly large data.
    """
    try:
        # A SafeLoader: builds plain data, never objects.
        data = yaml.load(text, Loader=_StrictLoader)
    except ArgumentError:
        raise
    except yaml.YAMLError as error:
        raise ArgumentError(f"not YAML: {error}") from error
    except Exception as error:
        # A value that does not fit its type raises whatever int, float and datetime raise.
        raise ArgumentError(f"not YAML: {type(error).__name__}: {error}") from error
    if not isinstance(data, dict):
        raise ArgumentError(f"must hold a mapping, found {type(data).__name__}")
    _check_size(data, len(text) + _ALIASED)
    return data


# Entries that aliases may add: a few lines of aliases can expand to more than fits into memory.
_ALIASED = 10_000
# Python refuses to convert larger numbers to text, even for an error message.
_BITS = 4096


def _check_size(data: dict[Any, Any], most: int) -> None:
    count, rest = 0, [data]
    while rest:
        item = rest.pop()
        count += 1
        if count > most:
            raise ArgumentError("its aliases make it too large; write the entries out instead")
        if isinstance(item, dict):
            rest += item.values()
        elif isinstance(item, list | tuple | set):
            rest += item
        elif isinstance(item, int) and item.bit_length() > _BITS:
            raise ArgumentError(f"has a number of {item.bit_length()} bits; at most {_BITS}")
