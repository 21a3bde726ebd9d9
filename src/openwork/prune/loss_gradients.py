"""Gradients of a loss by the weights that can be cut, one batch after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._call import call_of, check_batches, taken
from openwork.errors import ArgumentError
from openwork.prune.units.layers import Layer

Loss = Callable[[Any, Any], torch.Tensor]
Gradients = tuple[torch.Tensor, ...]


def loss_gradients(
    model: nn.Module,
    layers: Sequence[Layer],
    batches: Iterable[Sequence[Any]] | None,
    loss: Loss | None,
    criterion: str,
    create_graph: bool = False,
) -> Iterator[Gradients]:
    """For each batch, the gradients of the loss by the weights of `layers`, shaped like those.

    Args:
        model: the network, in the mode that it is to run in.
        layers: layers of `model`.
        batches: (inputs, targets, ...) tuples.
        loss: (outputs, targets) -> scalar.
        criterion: who asks, for messages.
        create_graph: whether the gradients can be differentiated again.

    Raises:
        ArgumentError: no batches or no loss, frozen weights, or a loss without a gradient.
    """
    batches, loss = _checked(batches, loss, criterion)
    weights = [layer.module.weight for layer in layers]
    frozen = [layer.name for layer in layers if not layer.module.weight.requires_grad]
    if frozen:
        raise ArgumentError(
            f"`criterion`={criterion!r} needs gradients, but the weights of {', '.join(frozen)} "
            "are frozen; call requires_grad_(True) on them, or leave them out with `layers`"
        )
    empty = True
    for batch in batches:
        empty = False
        images, targets = _pair(batch)
        with torch.enable_grad():
            call = call_of(model, images, "batches")
            with taken(call, "batches"):
                outputs = call.run(model)
            value = _scalar(_loss(loss, outputs, targets))
            if not all(weight.requires_grad for weight in weights):
                raise ArgumentError(
                    f"`criterion`={criterion!r} needs gradients, but the network's own code "
                    "freezes weights when it runs; take that out, or leave them out with `layers`"
                )
            # Weights that the loss does not depend on have a gradient of zero.
            gradients = torch.autograd.grad(
                value,
                weights,
                create_graph=create_graph,
                allow_unused=True,
                materialize_grads=True,
            )
        yield gradients
    if empty:
        raise ArgumentError(
            f"`batches` is empty; `criterion`={criterion!r} needs at least one batch"
        )


def times_weight(layers: Sequence[Layer], values: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    """Layer -> weight times value, as float64 arrays of the shapes of the dense weights.

    Args:
        layers: the layers.
        values: one tensor for each of them, shaped like its weight.
    """
    pairs = zip(layers, values, strict=True)
    return {layer.name: layer.dense(layer.module.weight * value) for layer, value in pairs}


def _checked(
    batches: Iterable[Sequence[Any]] | None, loss: Loss | None, criterion: str
) -> tuple[Iterable[Sequence[Any]], Loss]:
    given = {"batches": batches, "loss": loss}
    if batches is None or loss is None:
        missing = " and ".join(f"`{name}`=None" for name, value in given.items() if value is None)
        raise ArgumentError(
            f"{missing}: `criterion`={criterion!r} needs `batches`, (inputs, targets) tuples, and "
            "`loss`, a function (outputs, targets) -> scalar"
        )
    if isinstance(batches, torch.Tensor):
        raise ArgumentError(
            f"`batches` is a tensor of shape {tuple(batches.shape)}, but must hold "
            "(inputs, targets) tuples; for one batch pass [(inputs, targets)]"
        )
    check_batches(batches)
    if torch.is_inference_mode_enabled():
        raise ArgumentError(
            f"`criterion`={criterion!r} needs gradients, which torch.inference_mode() turns off; "
            "call it outside"
        )
    return batches, loss


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise ArgumentError(
            f"`batches` holds a {type(batch).__name__}{size}, but must hold (inputs, targets) "
            "tuples"
        )
    return batch[0], batch[1]


def _loss(loss: Loss, outputs: Any, targets: Any) -> torch.Tensor:
    try:
        return loss(outputs, targets)
    except IndexError as error:
        # What torch raises for labels beyond the outputs.
        raise ArgumentError(
            f"`loss` raises IndexError: {error}; the labels in `batches` must be below the number "
            "of the network's outputs"
        ) from error


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        what = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        raise ArgumentError(f"`loss` returned {what}, but must return a scalar; take its mean")
    if not value.requires_grad:
        raise ArgumentError(
            "`loss` returned a scalar that has no gradient; compute it from the outputs with torch"
        )
    return value
