"""Residual branches that add nothing: which layers could give way to plain zeros."""

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.flow.analysis import Analysis
from openwork.flow.atoms import Layout

_SUMS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


def dead_branches(analysis: Analysis, model: nn.Module) -> tuple[str, ...]:
    """Qualified names of layers in branches whose sum with the rest is the rest.

    Such a branch reads one tensor, is zero for every input wherever the sum is read, and has the
    shape of what it reads, so that zeros of that shape can pass through whatever is between its
    layers.
    """
    found: dict[str, None] = {}
    shapes = {(s.node, i): out.shape for s in analysis.ops for i, out in enumerate(s.outputs)}
    for op in analysis.ops:
        if op.node.target not in _SUMS or len(op.inputs) != 2:
            continue
        for index, (source, layout) in enumerate(zip(op.sources, op.inputs, strict=True)):
            rest = op.inputs[1 - index]
            if rest.shape != layout.shape or not _adds_nothing(analysis, layout, op.outputs[0]):
                continue
            if source[0] is op.sources[1 - index][0]:
                continue
            branch = _branch(source[0], op.node)
            entries = {n for node in branch for n in node.all_input_nodes if n not in branch}
            entries = {node for node in entries if (node, 0) in shapes}
            if {shapes[(node, 0)] for node in entries} == {layout.shape} and len(entries) == 1:
                found.update(dict.fromkeys(_layers(branch, analysis, model)))
    return tuple(found)


def _adds_nothing(analysis: Analysis, branch: Layout, total: Layout) -> bool:
    ids, sums = np.broadcast_arrays(branch.ids, total.ids)
    # Who reads a known sum counts on that number, live or not.
    unread = np.isnan(analysis.atoms.value[sums]) & ~analysis.live[sums]
    return bool(((analysis.atoms.value[ids] == 0) | unread).all())


def _branch(last: Node, reader: Node) -> set[Node]:
    """The nodes that only `reader` depends on, by way of `last`."""
    branch: set[Node] = set()
    if set(last.users) != {reader}:
        return branch
    waiting = [last]
    while waiting:
        node = waiting.pop()
        inner = node is last or all(user in branch for user in node.users)
        if node.op == "call_function" and inner:
            branch.add(node)
            waiting += node.all_input_nodes
    return branch


def _layers(branch: set[Node], analysis: Analysis, model: nn.Module) -> list[str]:
    """The modules whose parameters are used in `branch`, and nowhere else."""
    layers: dict[str, None] = {}
    for node in sorted(branch, key=lambda node: node.name):
        for held in node.all_input_nodes:
            name = analysis.names.get(held.name)
            if name is None:
                continue
            if not all(user in branch for user in held.users) or "." not in name:
                return []
            owner = name.rpartition(".")[0]
            if next(model.get_submodule(owner).children(), None) is not None:
                return []
            layers[owner] = None
    return list(layers)
