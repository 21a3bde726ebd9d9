"""`transfer_state_`: optimisers continue with the smaller network, their state cut to fit."""

from collections.abc import Sequence

import torch
from torch import nn

from openwork.compact.surgery import Cuts, Slice
from openwork.errors import ArgumentError
from openwork.nn.change.left_behind import note_replaced
from openwork.nn.change.optimizers import Carry, Heir, Optimizer, check_optimizers, follow_


def check_transfer(model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Refuse optimisers that cannot be made to train a smaller network.

    Raises:
        ArgumentError: one holds parameters of another model, or as for `check_optimizers`.
    """
    own = list(model.parameters())
    check_optimizers(optimizers, model, own)
    ids = {id(parameter) for parameter in own}
    for optimizer in optimizers:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        foreign = sum(id(parameter) not in ids for parameter in held)
        if foreign:
            raise ArgumentError(
                f"`optimizer` holds {foreign} parameters that are not of `model`; pass the "
                "optimiser that trains it"
            )


def transfer_state_(
    optimizers: Sequence[Optimizer], model: nn.Module, small: nn.Module, cuts: Cuts
) -> None:
    """Make `optimizers`, which trained `model`, train `small`, in place.

    Weights that are kept keep their momentum and other state; new ones start without. A new bias
    joins the group of its layer's weight.

    Args:
        optimizers: those that `check_transfer` allows; may be none.
        model: the original.
        small: the network that was cut out of it.
        cuts: what `cut_` did to it.
    """
    new = dict(small.named_parameters())
    biases = {name.rpartition(".")[0]: new[name] for name in cuts.added}
    heirs: dict[nn.Parameter, Heir] = {}
    named: dict[nn.Parameter, tuple[nn.Parameter, str]] = {}
    for full_name, old in model.named_parameters():
        # It had a mask if it is gone under its name, or its branch was removed.
        name = full_name if full_name in new else full_name.removesuffix("_orig")
        owner, _, attribute = name.rpartition(".")
        bias = biases.get(owner) if attribute == "weight" else None
        carry = _carry(cuts.slices.get(name))
        heirs[old] = Heir(new.get(name), carry, () if bias is None else (bias,))
        if name in new:
            named[old] = (new[name], name)
    follow_(optimizers, heirs)
    note_replaced(named, "compact", copied=True)


def _carry(keep: Slice | None) -> Carry:
    if keep is None:
        return torch.clone
    return lambda held: keep(held.cpu()).to(held.device)
