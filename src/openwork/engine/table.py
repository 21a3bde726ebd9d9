"""The table of a compiled network: what runs each layer, and what was left to torch."""

from collections import Counter
from collections.abc import Iterable

from openwork._terminal import counted
from openwork.engine.fallback import Fallback
from openwork.engine.runners import Choice
from openwork.nn import Table
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import ByteConv, Conv

COLUMNS = ("layer", "weight", "map", "density", "kernel", "ms", "torch ms", "ratio")
Row = tuple[str, str, str, float, str, float | None, float | None, float | None]


def layer_row(conv: Conv, choice: Choice) -> Row:
    """One layer: its sizes, its kernel, milliseconds, torch's, and their ratio."""
    weight, size = ("x".join(map(str, numbers)) for numbers in (conv.shape, conv.size))
    return conv.layer, weight, size, conv.density, choice.name, *_times(choice)


def byte_row(conv: ByteConv, isa: str) -> Row:
    """One layer of bytes, whose kernel is not measured."""
    weight, size = ("x".join(map(str, numbers)) for numbers in (conv.weight.shape, conv.size))
    return conv.layer, weight, size, conv.density, conv.kernel(isa), None, None, None


def layer_table(rows: Iterable[Row], notes: Iterable[str]) -> Table:
    """The table of all layers."""
    return Table(COLUMNS, tuple(rows), notes=tuple(notes))


def numbered(layers: Iterable[Conv | str]) -> list[tuple[str, int]]:
    """The name of each layer, and how often it came before: some layers run several times."""
    seen: Counter[str] = Counter()
    names: list[tuple[str, int]] = []
    for layer in layers:
        name = layer if isinstance(layer, str) else layer.layer
        names.append((name, seen[name]))
        seen[name] += 1
    return names


def kernels_of(table: Table) -> dict[tuple[str, int], str]:
    """What runs each layer, by `numbered` names."""
    return dict(zip(numbered(table.column("layer")), table.column("kernel"), strict=True))


def fallback_notes(graph: Graph) -> list[str]:
    """Which operators were left to torch, and why."""
    reasons = Counter(node.reason for node in graph.nodes if isinstance(node, Fallback))
    return [f"left to torch, {counted(count, 'time')}: {why}" for why, count in reasons.items()]


def _times(choice: Choice) -> tuple[float | None, float | None, float | None]:
    if choice.seconds is None or choice.torch_seconds is None:
        return None, None, None
    return 1e3 * choice.seconds, 1e3 * choice.torch_seconds, choice.torch_seconds / choice.seconds
