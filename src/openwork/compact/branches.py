"""Residual branches that add nothing: found, and their layers replaced by zeros where that fits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork._copy import copied
from openwork.flow.analysis import Analysis
from openwork.flow.atoms import Layout
from openwork.nn.layers import replace
from openwork.nn.resize import Zeros

_SUMS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


# The qualified names of a branch's layers.
Branch = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ZeroedBranches:
    """A network whose dead branches give zeros.

    Attributes:
        model: a copy; the original itself if no branch fits.
        names: of the layers that are zeros in it.
        kept: dead branches that stay as they are, each with the reason in words.
    """

    model: nn.Module
    names: tuple[str, ...] = ()
    kept: tuple[tuple[Branch, str], ...] = ()


def zero_branches(
    model: nn.Module, branches: Sequence[Branch], objection: Callable[[nn.Module], str | None]
) -> ZeroedBranches:
    """Replace the layers of each branch by zeros, unless the network objects to that.

    Zeros of the shape of a branch's input do not pass through operators that expect the layers'
    own numbers of channels, such as gates that split them.

    Args:
        model: it is not changed.
        branches: from `dead_branches`.
        objection: why a rewritten network does not give the outputs of `model`; None if it does.
    """
    if not branches:
        return ZeroedBranches(model)
    base = copied(model)
    names = tuple(dict.fromkeys(name for branch in branches for name in branch))
    everything = put_zeros_(base, names)
    if objection(base) is None:
        return ZeroedBranches(base, names)
    replace(base, everything)
    taken: dict[str, None] = {}
    kept: list[tuple[Branch, str]] = []
    for branch in branches:
        replaced = put_zeros_(base, [name for name in branch if name not in taken])
        if not replaced:
            continue
        reason = objection(base)
        if reason is None:
            taken.update(dict.fromkeys(branch))
        else:
            replace(base, replaced)
            kept.append((branch, reason))
    return ZeroedBranches(base if taken else model, tuple(taken), tuple(kept))


def put_zeros_(model: nn.Module, names: Sequence[str]) -> dict[nn.Module, nn.Module]:
    """Replace the layers `names` of `model` by zeros, in place; each of these -> the layer."""
    zeros: dict[nn.Module, nn.Module] = {model.get_submodule(name): Zeros() for name in names}
    replace(model, zeros)
    return {new: old for old, new in zeros.items()}


def dead_branches(analysis: Analysis, model: nn.Module) -> tuple[Branch, ...]:
    """The branches that add nothing to a sum.

    Such a branch reads one tensor, is zero for every input wherever the sum is read, and has the
    shape of what it reads, so that zeros of that shape may pass through the operators between its
    layers.
    """
    found: dict[Branch, None] = {}
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
                found[_layers(branch, analysis, model)] = None
    found.pop((), None)
    return tuple(found)


def _adds_nothing(analysis: Analysis, branch: Layout, total: Layout) -> bool:
    ids, sums = np.broadcast_arrays(branch.ids, total.ids)
    # Readers of a constant sum rely on its value, live or not.
    unread = np.isnan(analysis.atoms.value[sums]) & ~analysis.live[sums]
    return bool(((analysis.atoms.value[ids] == 0) | unread).all())


def _branch(last: Node, reader: Node) -> set[Node]:
    """The nodes whose results reach `reader` through `last` and are used nowhere else."""
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


def _layers(branch: set[Node], analysis: Analysis, model: nn.Module) -> Branch:
    """The modules whose parameters are used only in `branch`; none if one is used elsewhere too."""
    layers: dict[str, None] = {}
    for node in sorted(branch, key=lambda node: node.name):
        for held in node.all_input_nodes:
            name = analysis.names.get(held.name)
            if name is None:
                continue
            if not all(user in branch for user in held.users) or "." not in name:
                return ()
            owner = name.rpartition(".")[0]
            if next(model.get_submodule(owner).children(), None) is not None:
                return ()
            layers[owner] = None
    return tuple(layers)
