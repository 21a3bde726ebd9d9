"""`follow_`: optimisers continue when parameters are replaced or change their size."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._arguments import check_optimizer_kind
from openwork.errors import ArgumentError

__all__ = [
    "Carry",
    "Heir",
    "Optimizer",
    "Optimizers",
    "check_optimizers",
    "follow_",
    "optimizers_of",
]

Optimizer = torch.optim.Optimizer
Optimizers = Optimizer | Sequence[Optimizer] | None
# From a tensor of a parameter's old shape, such as its momentum, one of the new shape; zero at
# places that are new.
Carry = Callable[[torch.Tensor], torch.Tensor]

# Optimisers, here and in other packages, that need matrices, or have other state for them.
_OF_MATRICES = {"Muon", "Shampoo", "SOAP"}
_FACTORED = {"Adafactor"}

# Optimiser state that does not start at zero, and the setting of the group that it starts from.
_FRESH: dict[tuple[type[Optimizer], str], str] = {
    (torch.optim.Adagrad, "sum"): "initial_accumulator_value",
    (torch.optim.Rprop, "step_size"): "lr",
}


@dataclass(frozen=True, eq=False)
class Heir:
    """What takes the place of a parameter in its optimiser.

    Attributes:
        parameter: the new parameter, which may be the old one about to be resized; None if nothing
            does.
        carry: from the old state to the new one; None to start without a state.
        joined: other new parameters for the same group.
    """

    parameter: nn.Parameter | None
    carry: Carry | None = torch.clone
    joined: tuple[nn.Parameter, ...] = ()


def optimizers_of(optimizer: Optimizers) -> tuple[Optimizer, ...]:
    """The optimisers that an argument `optimizer` gives: none, one or several.

    Raises:
        ArgumentError: it holds anything else.
    """
    if optimizer is None:
        return ()
    several: Sequence[Any] = (optimizer,)
    if isinstance(optimizer, Sequence) and not isinstance(optimizer, str):
        several = optimizer
    for each in several:
        check_optimizer_kind(each)
    return tuple(several)


def check_optimizers(
    optimizers: Sequence[Optimizer], model: nn.Module, changing: Collection[nn.Parameter]
) -> None:
    """Refuse optimisers that cannot continue once parameters have changed.

    Args:
        optimizers: they should train `model`.
        model: before the change.
        changing: the parameters that will be replaced or resized.

    Raises:
        ArgumentError: one holds no parameter of `model`, keeps those in `changing` outside its
            groups too (LBFGS), or has state of other shapes than theirs (Adafactor).
    """
    own = {id(parameter) for parameter in model.parameters()}
    changed = {id(parameter) for parameter in changing}
    for optimizer in optimizers:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        if not any(id(parameter) in own for parameter in held):
            raise ArgumentError(
                f"`optimizer` ({type(optimizer).__name__}) does not hold a single parameter of "
                "`model`; pass the one that trains it"
            )
        _check_attributes(optimizer, changed)
        for parameter in held:
            if id(parameter) in changed and parameter in optimizer.state:
                _check_state(optimizer, parameter)


def check_axes(optimizers: Sequence[Optimizer], heirs: Mapping[nn.Parameter, Heir]) -> None:
    """Refuse optimisers that treat weights of one axis, as sparse layers have, in another way.

    Raises:
        ArgumentError: Muon, or Adafactor with a state, where the number of axes changes.
    """
    for optimizer in optimizers:
        kinds = {kind.__name__ for kind in type(optimizer).__mro__}
        for group in optimizer.param_groups:
            for old in group["params"]:
                new = heirs[old].parameter if old in heirs else None
                if new is None or (old.dim() > 1) == (new.dim() > 1):
                    continue
                if kinds & _OF_MATRICES or (kinds & _FACTORED and optimizer.state.get(old)):
                    raise ArgumentError(
                        f"`optimizer` is {type(optimizer).__name__}, which treats weights of shape "
                        f"{tuple(new.shape)} in another way than those of {tuple(old.shape)} and "
                        "cannot follow; leave `optimizer` out and create a new one afterwards"
                    )


def follow_(optimizers: Sequence[Optimizer], heirs: Mapping[nn.Parameter, Heir]) -> None:
    """Put heirs in the place of parameters, in place, with the state carried over.

    Each heir stays in the group of the old parameter, so settings and schedules do not change.

    Args:
        optimizers: those that `check_optimizers` allows.
        heirs: old parameter, of its old shape -> its heir.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            kept: list[nn.Parameter] = []
            for old in group["params"]:
                heir = heirs.get(old)
                if heir is None:
                    kept.append(old)
                    continue
                new = [] if heir.parameter is None else [heir.parameter]
                kept += [*new, *heir.joined]
                state = optimizer.state.pop(old, None)
                if new and state and heir.carry is not None:
                    optimizer.state[new[0]] = {
                        key: _carried(value, old, heir.carry, _fresh(optimizer, group, key))
                        for key, value in state.items()
                    }
                    new = []
                for parameter in (*new, *heir.joined):
                    _begin(optimizer, group, parameter)
            # The list itself stays, for whatever else refers to it.
            group["params"][:] = kept


def _check_attributes(optimizer: Optimizer, changed: set[int]) -> None:
    for name, value in vars(optimizer).items():
        if name in ("param_groups", "state"):
            continue
        if any(id(leaf) in changed for leaf in _pytree.tree_leaves(value)):
            raise ArgumentError(
                f"`optimizer` is {type(optimizer).__name__}, which holds the parameters a second "
                f"time, in `{name}`, and would continue to train the old ones; leave `optimizer` "
                "out and create a new one afterwards"
            )


def _check_state(optimizer: Optimizer, parameter: torch.Tensor) -> None:
    for name, value in optimizer.state[parameter].items():
        if not _can_be_carried(value, parameter):
            raise ArgumentError(
                f"`optimizer` is {type(optimizer).__name__}, whose {name!r} has another shape than "
                f"its parameter {tuple(parameter.shape)} and cannot follow it; leave `optimizer` "
                "out and create a new one afterwards"
            )


def _can_be_carried(held: Any, parameter: torch.Tensor) -> bool:
    if isinstance(held, torch.Tensor):
        return held.numel() == 1 or held.shape == parameter.shape
    return not any(isinstance(leaf, torch.Tensor) for leaf in _pytree.tree_leaves(held))


@torch.no_grad()
def _carried(held: Any, old: torch.Tensor, carry: Carry, fresh: float) -> Any:
    """The state `held` of `old` for its heir; `fresh` is the value of new places."""
    if not isinstance(held, torch.Tensor):
        return held
    if held.shape != old.shape:
        return held.clone()
    carried = carry(held)
    if fresh:
        carried = carried.masked_fill(carry(torch.ones_like(held)) == 0, fresh)
    return carried


def _fresh(optimizer: Optimizer, group: Mapping[str, Any], key: str) -> float:
    """The value that `optimizer` starts its state `key` from."""
    for (kind, name), setting in _FRESH.items():
        if isinstance(optimizer, kind) and name == key:
            return float(group[setting])
    return 0.0


def _begin(optimizer: Optimizer, group: Mapping[str, Any], parameter: nn.Parameter) -> None:
    """Start the state of a new parameter, where an optimiser does so only when it is created."""
    if isinstance(optimizer, torch.optim.Adagrad):
        total = torch.full_like(parameter, group["initial_accumulator_value"], requires_grad=False)
        optimizer.state[parameter] = {"step": torch.tensor(0.0), "sum": total}
