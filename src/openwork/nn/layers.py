"""Which layers of a model can be made sparse, and why the others cannot."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from openwork._arguments import check_module
from openwork.nn.kinds.reparametrised import reparametrised
from openwork.nn.sparse_layer import Dense, SparseLayer

__all__ = [
    "Dense",
    "by_reason",
    "dense_layers",
    "left_layers",
    "replace",
    "sparse_layers",
    "why_left",
]

# How many layers a reason names at most.
_NAMED = 3
# id of a parameter -> the names under which modules hold it.
_Holders = Mapping[int, list[str]]


def dense_layers(model: nn.Module) -> dict[str, Dense]:
    """The layers of `model` that can be made sparse, by their first qualified name."""
    left = left_layers(model)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Dense) and name not in left
    }


def sparse_layers(model: nn.Module) -> dict[str, SparseLayer]:
    """The sparse layers of `model`, by their first qualified name."""
    check_module(model)
    return {name: m for name, m in model.named_modules() if isinstance(m, SparseLayer)}


def left_layers(model: nn.Module) -> dict[str, str]:
    """Convolutions and linear layers that cannot be made sparse, and why: name -> reason."""
    check_module(model)
    holders: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            holders[id(parameter)].append(f"{name}.{own}" if name else own)
    reasons: dict[str, str] = {}
    for name, module in model.named_modules():
        reason = _reason_left(name, module, holders)
        if reason:
            reasons[name] = reason
    return reasons


def why_left(model: nn.Module) -> str:
    """Why dense layers of `model` cannot be made sparse, in one line; empty if all can be."""
    sparse = sparse_layers(model)
    reasons = {name: why for name, why in left_layers(model).items() if name not in sparse}
    return ". ".join(f"{names} cannot be made sparse: {why}" for names, why in by_reason(reasons))


def by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """From name -> reason, each reason with the names of its first layers."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        names[reason].append(repr(name or "the model itself"))
    for reason, held in names.items():
        more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        yield ", ".join(held[:_NAMED]) + more, reason


def _reason_left(name: str, module: nn.Module, holders: _Holders) -> str | None:
    if isinstance(module, SparseLayer):
        return "it is sparse already; densify_ it first"
    if isinstance(module, torch.jit.ScriptModule):
        return _reason_scripted(module)
    if not isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        return None
    if not name:
        return "it is the whole model and cannot be replaced in place; wrap it in nn.Sequential"
    if isinstance(module, LazyModuleMixin):
        return "it has no weights yet; run the network once on an example first"
    return reparametrised(module) or _reason_of_kind(module) or _reason_shared(module, holders)


def _reason_scripted(module: torch.jit.ScriptModule) -> str | None:
    kind = getattr(module, "original_name", "")
    if not kind.startswith("Conv") and kind != "Linear":
        return None
    return (
        f"it is a {kind} of TorchScript, whose layers cannot be replaced; pass the nn.Module that "
        "was scripted or traced"
    )


def _reason_of_kind(module: nn.Module) -> str | None:
    kind = type(module).__name__
    if type(module) in (nn.Conv1d, nn.Conv2d, nn.Linear):
        if "weight" in module._parameters:
            return None
        return "its weight is not a parameter but computed by other code; make it a parameter first"
    if not isinstance(module, Dense):
        return (
            f"sparse layers exist for Conv1d, Conv2d and Linear, not for {kind}; compact removes "
            "its dead channels"
        )
    plain = next(one for one in type(module).__mro__ if one in (nn.Conv1d, nn.Conv2d, nn.Linear))
    return (
        f"{kind} is not a plain layer: a subclass of {plain.__name__} may compute something else, "
        f"such as with a standardised weight; replace it by a {plain.__name__} with the weight "
        "that it computes"
    )


def _reason_shared(module: nn.Module, holders: _Holders) -> str | None:
    for what in ("weight", "bias"):
        held = holders.get(id(module._parameters.get(what)), [])
        if len(held) > 1:
            names = " and ".join(map(repr, held[:_NAMED]))
            return (
                f"its {what} is shared with another layer: {names} are one parameter; give each a "
                "copy first"
            )
    return None


def replace(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Replace each key by its value everywhere in `model`; a shared module stays shared."""
    for parent in list(model.modules()):
        # Not named_children(), which yields a repeated child only once.
        for name, child in list(parent._modules.items()):
            if child in replacements:
                parent.register_module(name, replacements[child])
