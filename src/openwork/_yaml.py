"""YAML written by people: only plain data, no repeated keys, and nothing that grows when read."""

import re
from typing import Any

import yaml

from openwork.errors import ArgumentError

# Entries that aliases may add: a few lines of aliases can expand to more than fits into memory.
_ALIASED = 10_000
# Levels of lists and mappings.
_DEEPEST = 50
# Characters of a number, and of a key in a message.
_LONGEST_NUMBER, _LONGEST_KEY = 1000, 60
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise ArgumentError(f"line {line} merges with `<<`; write the entries out instead")
            if not isinstance(key_node, yaml.ScalarNode):
                shown = "[...]" if isinstance(key_node, yaml.SequenceNode) else "{...}"
                raise ArgumentError(f"line {line} has the key {shown}; a key must be a single word")
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                shown = repr(key)[:_LONGEST_KEY]
                raise ArgumentError(f"line {line} gives {shown} a second time; keep one of the two")
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
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            _check_size(node, len(text) + _ALIASED)
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except ArgumentError:
        raise
    except yaml.YAMLError as error:
        raise ArgumentError(f"not YAML: {error}") from error
    except Exception as error:
        # A value that does not fit its type raises whatever int, float and datetime raise.
        raise ArgumentError(f"not YAML: {type(error).__name__}: {error}") from error
    if not isinstance(data, dict):
        raise ArgumentError(f"must hold a mapping, found {type(data).__name__}")
    return data


def _check_size(root: yaml.Node | None, most: int) -> None:
    """Refuse, before any data is made of it, what is large: an alias counts where it stands."""
    count, level = 0, [root] if root is not None else []
    for _ in range(_DEEPEST):
        deeper: list[yaml.Node] = []
        for node in level:
            if isinstance(node, yaml.ScalarNode):
                _check_number(node)
            elif isinstance(node, yaml.MappingNode):
                deeper += [each for pair in node.value for each in pair]
            else:
                deeper += node.value
            if count + len(level) + len(deeper) > most:
                raise ArgumentError("its aliases make it too large; write the entries out instead")
        if not deeper:
            return
        count += len(level)
        level = deeper
    raise ArgumentError(f"it is nested more than {_DEEPEST} deep")


def _check_number(node: yaml.ScalarNode) -> None:
    if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        raise ArgumentError(
            f"line {node.start_mark.line + 1} has a number of {len(node.value)} characters; at "
            f"most {_LONGEST_NUMBER}"
        )
