"""YAML that a person wrote: plain data only, and no key twice."""

import re
from typing import Any

import yaml

from openwork.errors import ArgumentError


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ArgumentError(f"line {line} gives {key!r} a second time; keep one of the two")
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-3, which everybody writes, for a word.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_mapping(text: str) -> dict[str, Any]:
    """The mapping that `text` holds.

    Raises:
        ArgumentError: not YAML, not a mapping, or a key given twice.
    """
    try:
        # A SafeLoader: builds plain data, never objects.
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ArgumentError(f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ArgumentError(f"must hold a mapping, found {type(data).__name__}")
    return data
