"""Which channels of a captured network are constant, and which nothing depends on."""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.capture import Captured
from openwork.flow.atoms import Atoms, Layout
from openwork.flow.context import Unknown, Walk
from openwork.flow.handle.movement import MOVES
from openwork.flow.handle.pointwise import is_pointwise, pointwise, prelu, zeros_like
from openwork.flow.handle.spatial import MAPS
from openwork.flow.handle.weights import LAYERS
from openwork.flow.op import Source, Step
from openwork.flow.weighted_sum import Mix, Weight

_HANDLERS = {
    **LAYERS,
    **MAPS,
    **MOVES,
    torch.ops.aten.prelu.default: prelu,
    torch.ops.aten.zeros_like.default: zeros_like,
}


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of a network's channels.

    Attributes:
        atoms: of all its tensors.
        live: (n,) bool; whether an output of the network depends on the atom.
        steps: its operators, in order.
        weights, vectors: the parameters and buffers that have channels, by qualified name.
        names: parameter or buffer of the graph -> its qualified name.
        held: the layouts of parameters, buffers and constants, as sources of steps.
    """

    atoms: Atoms
    live: np.ndarray
    steps: list[Step]
    weights: dict[str, Weight]
    vectors: dict[str, Layout]
    names: dict[str, str]
    held: dict[Source, Layout]

    @property
    def mixes(self) -> list[Mix]:
        """Convolutions and linear layers."""
        return [step for step in self.steps if isinstance(step, Mix)]


@torch.no_grad()
def analyse(captured: Captured, model: nn.Module) -> Analysis:
    """Follow every channel of the network once forward, for its value, and once backward.

    An operator that is not known reads all its inputs, and they stay as they are.

    Args:
        captured: of `model`.
        model: whose parameters they are.
    """
    walk = Walk(captured, model)
    for node in captured.program.graph.nodes:
        if (node.op == "placeholder" and node.name not in walk.constants) or node.op == "output":
            walk.add(walk.barrier(node))
        elif node.op == "call_function":
            _add_step(walk, node)
    walk.finish()
    live = np.zeros_like(walk.atoms.frozen())
    for step in reversed(walk.steps):
        step.spread(walk.atoms, live)
    return Analysis(walk.atoms, live, walk.steps, walk.weights, walk.vectors, walk.names, walk.held)


def _is_empty(held: Any) -> bool:
    """Whether there is nothing in a result."""
    return isinstance(held, torch.Tensor) and held.numel() == 0


def _add_step(walk: Walk, node: Node) -> None:
    if node.target is operator.getitem and isinstance(node.args[1], int):
        source, _ = walk.source(node.args[0])  # type: ignore[arg-type]
        walk.alias(node, (source, node.args[1]))
        return
    held = node.meta.get("val")
    if not isinstance(held, torch.Tensor | list | tuple):
        # Sizes, and checks of them: the export has worked them out.
        return
    handler = _HANDLERS.get(node.target) or (pointwise if is_pointwise(node.target) else None)
    try:
        if handler is None or (_is_empty(held) and node.target not in MOVES):
            raise Unknown
        step = handler(walk, node)
    except Unknown:
        step = walk.barrier(node)
    walk.add(step)
