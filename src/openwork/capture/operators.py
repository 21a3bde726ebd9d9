"""What an exported node is called with."""

from typing import Any

from torch.fx import Node
from torch.fx.node import map_arg


class NotUnderstood(Exception):
    """This use of an operator is not one that the caller handles; the text says why."""


def arguments(node: Node, *defaults: Any) -> list[Any]:
    """Positional arguments, filled up from keywords and `defaults` by the operator's schema."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    values = list(node.args)
    for index in range(len(values), len(defaults)):
        values.append(node.kwargs.get(names[index], defaults[index]))
    return values


def leaves(tree: Any) -> list[Node]:
    """All nodes within nested arguments."""
    found: list[Node] = []
    map_arg(tree, found.append)
    return found
