"""`Graph`: a network as nodes in an order in which they can run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from openwork.runtime.node import Node
from openwork.runtime.values import Value, root

__all__ = ["Graph"]


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run.

    Attributes:
        inputs: values of the network's inputs.
        results: what the network returns, flat: values, and constants of any kind.
        nodes: the steps.
    """

    inputs: list[Value]
    results: list[Any]
    nodes: list[Node]

    @property
    def outputs(self) -> list[Value]:
        """Values among the results."""
        return [result for result in self.results if isinstance(result, Value)]

    def read_once(self, value: Value) -> bool:
        """Whether one node reads `value` and the network does not return it."""
        own = root(value)
        reads = sum(root(v) is own for node in self.nodes for v in node.inputs)
        return reads == 1 and not any(root(v) is own for v in self.outputs)

    def replace(self, old: Sequence[Node], new: Iterable[Node]) -> None:
        """Remove `old`, and put `new` where the last of `old` stood."""
        last = max(index for index, node in enumerate(self.nodes) if node in old)
        kept_before = [node for node in self.nodes[:last] if node not in old]
        self.nodes = [*kept_before, *new, *self.nodes[last + 1 :]]
