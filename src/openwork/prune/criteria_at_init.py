"""Which units matter in an untrained network? Criteria by name, for `at_init`.

Each takes a trial and returns one array of scores for each group of units, of the shapes
`units.shapes`: high where a unit matters. The papers score single weights; here one gate multiplies
all weights of a unit, so that gradients by the gate are sums over the unit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._call import Call
from openwork._nested import flatten
from openwork.errors import ArgumentError
from openwork.prune.loss_gradients import Gradients, Loss, loss_gradients, times_weight
from openwork.prune.units.layers import Layer
from openwork.prune.units.units import Units

# What GraSP's authors divide the outputs by in their code, before the cross-entropy.
_TEMPERATURE = 200


@dataclass(frozen=True, eq=False)
class Trial:
    """A copy of the network that criteria may change.

    Attributes:
        model: the copy.
        units: its units.
        batches: (inputs, targets, ...) tuples, or None.
        loss: (outputs, targets) -> scalar; None for the cross-entropy.
        example: an input batch `(N, ...)`, or None.
    """

    model: nn.Module
    units: Units
    batches: Sequence[Sequence[Any]] | None
    loss: Loss | None
    example: Call | None

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers that the units belong to."""
        return [self.units.layers[name] for name in self.units.chosen]

    def cut(self, masks: Mapping[str, np.ndarray]) -> None:
        """Set to zero what is not alive in `masks`, layer -> mask of its dense shape."""
        for layer in self.layers:
            dead = ~layer.stored(masks[layer.name])
            layer.module.weight.detach().masked_fill_(dead, 0)

    def gradients(
        self, criterion: str, temperature: float = 1.0, create_graph: bool = False
    ) -> Iterator[Gradients]:
        """The gradients of each batch by the weights of `layers`.

        Batches are normalised by their own statistics: an untrained network has no other. Nothing
        is dropped out.
        """
        for module in self.model.modules():
            module.train(not isinstance(module, nn.modules.dropout._DropoutNd))
        loss = self.loss or partial(_cross_entropy, temperature)
        return loss_gradients(self.model, self.layers, self.batches, loss, criterion, create_graph)


def snip(trial: Trial) -> list[np.ndarray]:
    """How much the loss reacts to the gate of a unit: the absolute value of its gradient.

    Source: "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (Lee et al. 2019).
    """
    change = times_weight(trial.layers, _mean(trial.gradients("snip")))
    return [np.abs(score) for score in trial.units.aggregate(change)]


def grasp(trial: Trial) -> list[np.ndarray]:
    """How much the squared norm of the gradient shrinks to first order without the unit.

    Source: "Picking Winning Tickets Before Training by Preserving Gradient Flow" (Wang et al.
    2020).
    """
    weights = [layer.module.weight for layer in trial.layers]
    mean = _mean(trial.gradients("grasp", _TEMPERATURE))
    products = [torch.zeros_like(gradient) for gradient in mean]
    for gradients in trial.gradients("grasp", _TEMPERATURE, create_graph=True):
        with torch.enable_grad():
            pairs = zip(gradients, mean, strict=True)
            flow = torch.stack([(gradient * fixed).sum() for gradient, fixed in pairs]).sum()
            parts = torch.autograd.grad(flow, weights, allow_unused=True, materialize_grads=True)
        products = [total + part for total, part in zip(products, parts, strict=True)]
    return trial.units.aggregate(times_weight(trial.layers, products))


def synflow(trial: Trial) -> list[np.ndarray]:
    """The flow through the unit where all weights are positive and all inputs are one.

    Source: "Pruning neural networks without any data by iteratively conserving synaptic flow"
    (Tanaka et al. 2020).
    """
    if trial.example is None:
        raise ArgumentError(
            "`example`=None, but `criterion`='synflow' runs the network; pass an input batch, or "
            "`batches`"
        )
    # The flow grows with every layer, beyond float32 in deep networks.
    model = trial.model.double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.abs_()
    ones = trial.example.map(lambda t: torch.ones_like(t[:1], dtype=_wide(t)))
    weights = [layer.module.weight for layer in trial.layers]
    with torch.enable_grad():
        outputs = flatten(ones.run(model))[0]
        flow = [x.sum() for x in outputs if isinstance(x, torch.Tensor) and x.is_floating_point()]
        gradients = torch.autograd.grad(
            torch.stack(flow).sum(), weights, allow_unused=True, materialize_grads=True
        )
    return trial.units.aggregate(times_weight(trial.layers, gradients))


CRITERIA_AT_INIT: dict[str, Callable[[Trial], list[np.ndarray]]] = {
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}


def _cross_entropy(temperature: float, outputs: Any, targets: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs / temperature, targets)


def _mean(gradients: Iterator[Gradients]) -> list[torch.Tensor]:
    total: list[torch.Tensor] = []
    count = 0
    for each in gradients:
        total = [a + b for a, b in zip(total, each, strict=True)] if total else list(each)
        count += 1
    return [part / count for part in total]


def _wide(tensor: torch.Tensor) -> torch.dtype:
    return torch.float64 if tensor.is_floating_point() else tensor.dtype
