"""Which channels of a captured network are constant, and which nothing depends on."""

import operator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.capture import Captured
from openwork.capture.operators import NotUnderstood
from openwork.flow.atoms import Atoms, Layout
from openwork.flow.context import AnalysisContext, shapes
from openwork.flow.handle.movement import MOVEMENT
from openwork.flow.handle.pointwise import glu, is_pointwise, pointwise, prelu, zeros_like
from openwork.flow.handle.spatial import SPATIAL
from openwork.flow.handle.weights import WEIGHTS
from openwork.flow.op import Op, Source
from openwork.flow.weighted_sum import Weight, WeightedSum

__all__ = ["Analysis", "analyse"]

_HANDLERS = {
    **WEIGHTS,
    **SPATIAL,
    **MOVEMENT,
    torch.ops.aten.glu.default: glu,
    torch.ops.aten.prelu.default: prelu,
    torch.ops.aten.zeros_like.default: zeros_like,
}


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of a network's channels.

    Attributes:
        atoms: of all its tensors.
        live: (n,) bool; whether an output of the network depends on the atom.
        ops: its operators, in the order in which they run.
        weights, vectors: the parameters and buffers that have channels, by qualified name.
        names: parameter or buffer of the graph -> its qualified name.
        constant_layouts: the layouts of parameters, buffers and constants, as sources of ops.
    """

    atoms: Atoms
    live: np.ndarray
    ops: list[Op]
    weights: dict[str, Weight]
    vectors: dict[str, Layout]
    names: dict[str, str]
    constant_layouts: dict[Source, Layout]

    @property
    def weighted_sums(self) -> list[WeightedSum]:
        """Convolutions and linear layers."""
        return [op for op in self.ops if isinstance(op, WeightedSum)]


# Numbers that are not finite become atoms without a value.
@np.errstate(all="ignore")
@torch.no_grad()
def analyse(captured: Captured, model: nn.Module) -> Analysis:
    """Follow every channel of the network once forward, for its value, and once backward.

    An operator that is not understood reads all its inputs, and no channel of them can be
    removed.

    Args:
        captured: the graph of `model`.
        model: the network whose parameters are read; it is not changed.
    """
    ctx = AnalysisContext(captured, model)
    for node in captured.program.graph.nodes:
        if (node.op == "placeholder" and node.name not in ctx.constants) or node.op == "output":
            ctx.add(ctx.opaque(node))
        elif node.op == "call_function":
            _add_op(ctx, node)
    ctx.finish()
    live = np.zeros_like(ctx.atoms.frozen())
    for op in reversed(ctx.ops):
        op.propagate_liveness(ctx.atoms, live)
    return Analysis(
        ctx.atoms, live, ctx.ops, ctx.weights, ctx.vectors, ctx.names, ctx.constant_layouts
    )


def _is_empty(node: Node) -> bool:
    # The sizes of the example: while another thread traces, torch would record those of symbols.
    return isinstance(node.meta["val"], torch.Tensor) and 0 in shapes(node)[0]


def _add_op(ctx: AnalysisContext, node: Node) -> None:
    if node.target is operator.getitem and isinstance(node.args[1], int):
        source, _ = ctx.source(node.args[0])  # type: ignore[arg-type]
        ctx.alias(node, (source, node.args[1]))
        return
    result = node.meta.get("val")
    if not isinstance(result, torch.Tensor | list | tuple):
        # torch.export has already computed sizes and checked them.
        return
    handler = _HANDLERS.get(node.target) or (pointwise if is_pointwise(node.target) else None)
    try:
        if handler is None or (_is_empty(node) and node.target not in MOVEMENT):
            raise NotUnderstood(f"{node.target} has no handler")
        op = handler(ctx, node)
    except NotUnderstood:
        op = ctx.opaque(node)
    ctx.add(op)
