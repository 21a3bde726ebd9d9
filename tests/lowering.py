"""Networks of one operator, and the nodes that they become."""

from collections.abc import Callable

import torch
from torch import nn

from openwork.capture import capture
from openwork.engine.lower.lower import lower
from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.node import Node

Body = Callable[[torch.Tensor], torch.Tensor]


class Do(nn.Module):
    """A function as a module, between two layers so that it lies in the middle of a program."""

    def __init__(self, body: Callable[..., object], channels: int = 4) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1)
        self._body = body

    def forward(self, x: torch.Tensor) -> object:
        return self._body(self.before(x))


def nodes_of(body: Body) -> list[Node]:
    """The nodes that `body` becomes on a batch of (4, 6, 8)."""
    convolution, *nodes = graph_nodes(Do(body), torch.zeros(2, 4, 6, 8))
    assert type(convolution).__name__ == "Conv"
    return nodes


def graph_nodes(model: nn.Module, example: torch.Tensor) -> list[Node]:
    """The nodes that `model` becomes, not yet fused."""
    graph, _ = lower(capture(model, (example,)))
    remove_unread(graph)
    return graph.nodes
