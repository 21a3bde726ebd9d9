"""Which layers make a map and which read it, from the analysis of channels.

Atoms of that analysis that go or stay together are one map here, and its number is its label.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from openwork.capture import capture
from openwork.errors import CaptureError
from openwork.flow.analysis import Analysis, analyse
from openwork.flow.context import Opaque
from openwork.flow.op import Movement, Op
from openwork.flow.weighted_sum import WeightedSum


@dataclass(frozen=True, eq=False)
class Coupling:
    """How the maps of a network hang together.

    Attributes:
        made: layer -> label (out_channels,) of each map that it makes.
        read: layer -> label (groups, in_channels / groups) that each column reads.
        carriers: depthwise layers, whose maps have the label of the map that they read.
        norms: (scale of a batch normalisation, label of each of its channels) pairs.
        fixed: label -> why that map cannot go.
        even: label -> the operator into whose equal parts it goes; `compact` keeps those equal.
        labels: one more than the largest label.
    """

    made: dict[str, np.ndarray]
    read: dict[str, np.ndarray]
    carriers: set[str]
    norms: list[tuple[np.ndarray, np.ndarray]]
    fixed: dict[int, str]
    even: dict[int, str]
    labels: int


def coupling_of(model: nn.Module, example: torch.Tensor) -> Coupling:
    """Follow every map of `model` from its maker to its readers.

    Raises:
        CaptureError: torch.export cannot capture the network.
    """
    # The capture takes float32 on the CPU only, whatever the model trains in.
    model = copy.deepcopy(model).to("cpu", torch.float32)
    try:
        captured = capture(model, [example.to("cpu", torch.float32)])
    except CaptureError as error:
        raise CaptureError(
            f"the maps of {type(model).__name__} cannot be followed: "
            f"{str(error).rstrip('.')}. Cut kernels, which need no graph: `granularity`='kernel'"
        ) from error
    analysis = analyse(captured, model)
    label = analysis.atoms.coupled_groups()
    weights = {name.rpartition(".")[0]: w for name, w in analysis.weights.items()}
    return Coupling(
        made={name: label[w.out] for name, w in weights.items()},
        read={name: label[w.by_group()[1]] for name, w in weights.items()},
        carriers={name for name, w in weights.items() if w.depthwise},
        norms=_norms(model, analysis, label),
        fixed=_fixed(analysis, label),
        even=_even(analysis, label),
        labels=label.size,
    )


def _norms(
    model: nn.Module, analysis: Analysis, label: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for name, module in model.named_modules():
        vector = analysis.vectors.get(f"{name}.weight")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and vector is not None:
            found.append((module.weight.detach().double().numpy(), label[vector.ids]))
    return found


def _fixed(analysis: Analysis, label: np.ndarray) -> dict[int, str]:
    """Label -> reason, for every map that must stay."""
    frozen = analysis.atoms.frozen()
    reasons = dict.fromkeys(
        np.unique(label[frozen]).tolist(), "is read in a way that cannot be cut"
    )
    for op in reversed(analysis.ops):
        for one in np.unique(label[_among(op, frozen)]).tolist():
            reasons[one] = f"is read by {_operator(op.node)} in a way that cannot be cut"
    # The first that reads a map gives the reason.
    for op in reversed(analysis.ops):
        if isinstance(op, Opaque):
            read = [label[layout.ids].reshape(-1) for layout in op.inputs]
            for one in np.unique(np.concatenate([np.empty(0, np.int64), *read])).tolist():
                reasons[one] = _reason(op.node)
    return reasons


def _reason(node: torch.fx.Node) -> str:
    if node.op == "output":
        return "is what the network returns"
    return f"goes through {_operator(node)}"


def _operator(node: torch.fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return schema.name.removeprefix("aten::") if schema else str(node.target)


def _among(op: Op, marked: np.ndarray) -> np.ndarray:
    """The atoms that `op` reads, as far as they are `marked`; layers of the network read all."""
    if isinstance(op, WeightedSum):
        return np.empty(0, np.int64)
    ids = np.concatenate([np.empty(0, np.int64), *(x.ids.reshape(-1) for x in op.inputs)])
    return ids[marked[ids]]


def _even(analysis: Analysis, label: np.ndarray) -> dict[int, str]:
    """Label -> the operator that needs as many of it as of others."""
    found: dict[int, str] = {}
    for op in analysis.ops:
        if isinstance(op, Movement) and op.rows is not None:
            found |= dict.fromkeys(np.unique(label[op.rows]).tolist(), _operator(op.node))
    for op in analysis.weighted_sums:
        if op.weight.groups > 1 and not op.weight.depthwise:
            name = op.weight.name.rpartition(".")[0]
            ids = np.concatenate([op.weight.out, op.weight.inside])
            found |= dict.fromkeys(np.unique(label[ids]).tolist(), f"the groups of {name}")
    return found
