"""`exchange_`: layers of a model give way to others, and whatever follows them is carried along."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from openwork.nn.change.left_behind import note_replaced
from openwork.nn.change.optimizers import (
    Carry,
    Heir,
    Optimizer,
    check_axes,
    check_optimizers,
    follow_,
)
from openwork.nn.layers import replace
from openwork.nn.resize import is_resized, mark_resized
from openwork.nn.sparse_layer import SparseLayer
from openwork.ops.expand import collect, expand

__all__ = ["exchange_", "inherit_"]


def exchange_(
    model: nn.Module,
    layers: Mapping[nn.Module, nn.Module],
    optimizers: Sequence[Optimizer],
    verb: str,
    *,
    fresh: bool = False,
) -> None:
    """Replace layers of `model`, dense or sparse, by others of the same dense size, in place.

    Optimisers follow, with the state of the weights that live before and after; hooks stay where
    they are. An optimiser that is not given is warned about if it later steps in vain.

    Args:
        model: its layers are replaced wherever they are used.
        layers: old layer -> new layer.
        optimizers: those that train `model`; may be none.
        verb: what the user called, for messages.
        fresh: start without the old state, because weights are redrawn. Default False.

    Raises:
        ArgumentError: an optimiser of another model, or one that cannot follow; nothing is changed.
    """
    names = {module: name for name, module in model.named_modules()}
    heirs: dict[nn.Parameter, Heir] = {}
    named: dict[nn.Parameter, tuple[nn.Parameter, str]] = {}
    for old, new in layers.items():
        for key, parameter in old.named_parameters(names[old], recurse=False):
            attribute = key.rpartition(".")[2]
            carry = _carry(old, new) if attribute == "weight" else torch.clone
            heir = new.get_parameter(attribute)
            heirs[parameter] = Heir(heir, None if fresh else carry)
            named[parameter] = (heir, key)
    check_optimizers(optimizers, model, heirs)
    check_axes(optimizers, heirs)
    replace(model, dict(layers))
    follow_(optimizers, heirs)
    for old, new in layers.items():
        inherit_(new, old)
    note_replaced(named, verb)


def inherit_(new: nn.Module, old: nn.Module) -> None:
    """Give `new` the hooks of `old`, and the mark of a layer whose channels were cut."""
    for key, value in vars(old).items():
        if "hook" in key and "state_dict" not in key:
            # The same object, so that a handle still removes its hook.
            vars(new)[key] = value
    if is_resized(old):
        mark_resized(new)


def _carry(old: nn.Module, new: nn.Module) -> Carry:
    """From a tensor of the shape of the old layer's weight to one of the new layer's."""

    def carry(held: torch.Tensor) -> torch.Tensor:
        dense = expand(held, old.gaps, old.shape) if isinstance(old, SparseLayer) else held
        if isinstance(new, SparseLayer):
            return collect(dense, new.gaps, new.weight.shape[0])
        # A 1-D convolution has patterns of one row.
        return dense.reshape(new.get_parameter("weight").shape).clone()

    return carry
