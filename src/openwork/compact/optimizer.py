"""`transfer_state_`: an optimiser continues with the smaller network, its state cut to fit."""

from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._arguments import check_optimizer_kind
from openwork.compact.surgery import Cuts, Slice
from openwork.errors import ArgumentError

Optimizer = torch.optim.Optimizer


def check_optimizer(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse an optimiser that cannot be made to train a smaller network.

    Raises:
        ArgumentError: it holds parameters of another model, keeps them outside its groups too
            (LBFGS), or its state has tensors of other shapes than the parameters (Adafactor).
    """
    check_optimizer_kind(optimizer)
    own = {id(parameter) for parameter in model.parameters()}
    foreign = sum(id(p) not in own for group in optimizer.param_groups for p in group["params"])
    if foreign:
        raise ArgumentError(
            f"`optimizer` holds {foreign} parameters that are not of `model`; pass the optimiser "
            "that trains it"
        )
    kind = type(optimizer).__name__
    way_out = "compact without `optimizer`, then build a new one for the copy"
    for name, value in vars(optimizer).items():
        if name not in ("param_groups", "state") and _holds(value, own):
            raise ArgumentError(
                f"`optimizer` is {kind}, which holds the parameters a second time, in `{name}`, "
                f"and would continue to train `model`; {way_out}"
            )
    for parameter, held in optimizer.state.items():
        for name, value in held.items():
            if not _can_be_cut(value, parameter):
                raise ArgumentError(
                    f"`optimizer` is {kind}, whose {name!r} has another shape than its parameter "
                    f"{tuple(parameter.shape)} and cannot be cut; {way_out}"
                )


def transfer_state_(optimizer: Optimizer, model: nn.Module, small: nn.Module, cuts: Cuts) -> None:
    """Make `optimizer`, which trained `model`, train `small`, in place.

    Weights that are kept keep their momentum and other state; new ones begin at zero. A new bias
    joins the group of its layer's weight. Learning rates and schedules do not change.

    Args:
        optimizer: one that `check_optimizer` allows.
        model: the original.
        small: the network that was cut out of it.
        cuts: what `cut_` did to it.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    new = dict(small.named_parameters())
    biases = {name.rpartition(".")[0]: new[name] for name in cuts.added}
    state: dict[torch.Tensor, Any] = {}
    for group in optimizer.param_groups:
        kept: list[nn.Parameter] = []
        for old in group["params"]:
            name = names[id(old)]
            if name not in new:
                # It had a mask, or its branch was removed.
                name = name.removesuffix("_orig")
            if name not in new:
                continue
            kept.append(new[name])
            if old in optimizer.state:
                held = optimizer.state[old]
                state[new[name]] = {k: _cut(v, old, cuts.slices.get(name)) for k, v in held.items()}
            owner, _, attribute = name.rpartition(".")
            if attribute == "weight" and owner in biases:
                kept.append(biases.pop(owner))
        group["params"] = kept
    optimizer.state.clear()
    optimizer.state.update(state)


def _holds(value: Any, own: set[int]) -> bool:
    return any(id(leaf) in own for leaf in _pytree.tree_leaves(value))


def _can_be_cut(held: Any, parameter: torch.Tensor) -> bool:
    if isinstance(held, torch.Tensor):
        return held.numel() == 1 or held.shape == parameter.shape
    return not any(isinstance(leaf, torch.Tensor) for leaf in _pytree.tree_leaves(held))


def _cut(held: Any, old: torch.Tensor, keep: Slice | None) -> Any:
    """A copy of the state `held` of the parameter `old`, cut by `keep`."""
    if not isinstance(held, torch.Tensor):
        return held
    if keep is None or held.shape != old.shape:
        return held.clone()
    return keep(held.cpu()).to(held.device)
