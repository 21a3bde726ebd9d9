"""Which layers produce a feature map and which consume it, from the analysis of channels.

Atoms of that analysis that can be removed only together are one map here; its number is its label.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from openwork._call import Call, call_of
from openwork._copy import copied
from openwork.capture import capture
from openwork.errors import CaptureError
from openwork.flow.analysis import Analysis, analyse
from openwork.flow.context import Opaque
from openwork.flow.op import Movement, Op
from openwork.flow.weighted_sum import WeightedSum


@dataclass(frozen=True, eq=False)
class Coupling:
    """How the feature maps of a network depend on each other.

    Attributes:
        producers: layer -> labels (out_channels,) of the maps that it produces.
        consumers: layer -> labels (groups, in_channels / groups) of the maps that it reads.
        depthwise_layers: layers whose output maps have the labels of their input maps.
        norms: (scale (channels,) of a batch normalisation, label (channels,) of each channel)
            pairs.
        frozen: label -> why that map cannot be removed.
        balanced: label -> the part that the map belongs to, such as "group of conv2", of an
            operator whose parts `compact` keeps equal.
        labels: one more than the largest label.
    """

    producers: dict[str, np.ndarray]
    consumers: dict[str, np.ndarray]
    depthwise_layers: set[str]
    norms: list[tuple[np.ndarray, np.ndarray]]
    frozen: dict[int, str]
    balanced: dict[int, str]
    labels: int


def coupling_of(model: nn.Module, example: Call | torch.Tensor) -> Coupling:
    """Follow every map of `model` from the layers that produce it to those that consume it.

    Args:
        model: the network.
        example: an input batch (N, ...).

    Raises:
        CaptureError: torch.export cannot capture the network.
    """
    # Capture supports float32 on the CPU only, whatever the model trains in.
    model = copied(model).to("cpu", torch.float32)
    try:
        captured = capture(model, call_of(model, example).to("cpu", torch.float32))
    except CaptureError as error:
        raise CaptureError(
            f"the maps of {type(model).__name__} cannot be followed: "
            f"{str(error).rstrip('.')}. Cut kernels, which need no graph: `granularity`='kernel'"
        ) from error
    analysis = analyse(captured, model)
    label = analysis.atoms.coupled_groups()
    weights = {name.rpartition(".")[0]: w for name, w in analysis.weights.items()}
    return Coupling(
        producers={name: label[w.out] for name, w in weights.items()},
        consumers={name: label[w.by_group()[1]] for name, w in weights.items()},
        depthwise_layers={name for name, w in weights.items() if w.depthwise},
        norms=_norms(model, analysis, label),
        frozen=_frozen(analysis, label),
        balanced=_balanced(analysis, label),
        labels=label.size,
    )


def _norms(
    model: nn.Module, analysis: Analysis, label: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    norms = []
    for name, module in model.named_modules():
        vector = analysis.vectors.get(f"{name}.weight")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and vector is not None:
            norms.append((module.weight.detach().double().numpy(), label[vector.ids]))
    return norms


def _frozen(analysis: Analysis, label: np.ndarray) -> dict[int, str]:
    """Label -> reason, for every map that must not be removed."""
    frozen = analysis.atoms.frozen()
    reasons = dict.fromkeys(
        np.unique(label[frozen]).tolist(), "is read in a way that cannot be cut"
    )
    for op in reversed(analysis.ops):
        for one in np.unique(label[_among(op, frozen)]).tolist():
            reasons[one] = f"is read by {_operator(op.node)} in a way that cannot be cut"
    # In reverse, so that the first operator that reads a map gives the reason.
    for op in reversed(analysis.ops):
        if isinstance(op, Opaque):
            labels = [label[layout.ids].reshape(-1) for layout in op.inputs]
            for one in np.unique(np.concatenate([np.empty(0, np.int64), *labels])).tolist():
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
    """The `marked` atoms that `op` reads; none for a layer, whose inputs can be removed alone."""
    if isinstance(op, WeightedSum):
        return np.empty(0, np.int64)
    ids = np.concatenate([np.empty(0, np.int64), *(x.ids.reshape(-1) for x in op.inputs)])
    return ids[marked[ids]]


def _balanced(analysis: Analysis, label: np.ndarray) -> dict[int, str]:
    """Label -> the part that the map belongs to, of an operator with parts of equal size."""
    balanced: dict[int, str] = {}
    for op in analysis.ops:
        if isinstance(op, Movement) and op.rows is not None:
            part = f"part of {_operator(op.node)}"
            balanced |= dict.fromkeys(np.unique(label[op.rows]).tolist(), part)
    for op in analysis.weighted_sums:
        if op.weight.groups > 1 and not op.weight.depthwise:
            name = op.weight.name.rpartition(".")[0]
            ids = np.concatenate([op.weight.out, op.weight.inside])
            balanced |= dict.fromkeys(np.unique(label[ids]).tolist(), f"group of {name}")
    return balanced
