"""Batch norms whose scales are so small that their channels are nearly constant."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from openwork.capture import Captured
from openwork.compact.estimate import share_left
from openwork.compact.rebind import rebind
from openwork.compact.select import Selection
from openwork.flow.analysis import analyse
from openwork.nn import count_macs
from openwork.nn.cost import live_weights
from openwork.verify import Inputs

# Thresholds to suggest. Scales that training has given up end below the first.
_SUGGESTED = (1e-3, 1e-2)


def without_small_scales(model: nn.Module, below: float) -> dict[str, torch.Tensor]:
    """The scales of batch norms with some |scale| < `below`, these set to zero, by name."""
    return {
        name: torch.where(scales.abs() < below, 0.0, scales)
        for name, scales in _scales(model)
        if bool(((scales.abs() < below) & (scales != 0)).any())
    }


def zero_small_scales_(model: nn.Module, below: float) -> nn.Module:
    """Set scales of batch norms with |scale| < `below` to zero, in place; returns `model`."""
    for name, scales in without_small_scales(model, below).items():
        model.get_parameter(name).data.copy_(scales)
    return model


def suggestion(captured: Captured, model: nn.Module, example: Inputs) -> str:
    """What a threshold would remove from a network in which nothing is exactly dead, in words.

    Args:
        captured: the graph of `model`.
        model: it is not changed.
        example: tensors `(N, ...)` of one call.
    """
    costs = count_macs(model, example[0]) if len(example) == 1 else {}
    unit = "multiply-adds" if any(costs.values()) else "weights"
    if unit == "weights":
        costs = {name: live_weights(module) for name, module in model.named_modules()}
    for below in _SUGGESTED:
        scales = without_small_scales(model, below)
        if not scales:
            continue
        analysis = analyse(rebind(captured, scales), model)
        share = 1 - share_left(analysis, Selection(analysis, np.arange(0)), costs)
        if share:
            return (
                f"nothing is exactly dead; gamma_below={below:g} would remove about {share:.1%} of "
                f"the {unit}, and evaluate= shows what that changes"
            )
    return "nothing is exactly dead, and no batch norm has scales near zero (gamma_below=)"


def _scales(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
            yield f"{name}.weight" if name else "weight", module.weight.detach()
