"""Whether a graph that was read from a file can run; nodes check their own sizes."""

from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.graph import Graph
from openwork.runtime.values import Alias, Value, root


def check_order(graph: Graph) -> None:
    """Require that every value is made once, and before it is read.

    Raises:
        MalformedFile: one is not.
    """
    made: set[Value] = set()
    for value in graph.inputs:
        _make(value, made)
    for node in graph.nodes:
        unmade = [value.name for value in node.inputs if root(value) not in made]
        if unmade:
            raise MalformedFile(f"a {type(node).__name__} reads {unmade} before it is made")
        _make(node.output, made)
    require(all(root(value) in made for value in graph.outputs), "every result must be made")


def _make(value: Value, made: set[Value]) -> None:
    fresh = not isinstance(value, Alias) and value not in made
    require(fresh, f"{value.name!r} must be made once, and not as a view")
    made.add(value)
