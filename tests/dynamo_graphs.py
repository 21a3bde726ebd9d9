"""Graphs as torch.compile makes them, and what it calls them with first."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

Graph = tuple[fx.GraphModule, Sequence[Any]]


def graphs(
    network: Callable[..., Any], *calls: Sequence[Any], dynamic: bool | None = None
) -> list[Graph]:
    """Every graph that torch.compile makes of `network` over some calls."""
    torch.compiler.reset()
    found: list[Graph] = []

    def keep(graph: fx.GraphModule, given: Sequence[Any]) -> Any:
        found.append((graph, given))
        return graph

    compiled: Any = torch.compile(network, backend=keep, dynamic=dynamic)
    with torch.no_grad():
        for call in calls:
            compiled(*call)
    return found
