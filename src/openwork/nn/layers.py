"""Which layers of a model can be made sparse, and why the others cannot."""

from collections import Counter

from torch import nn

from openwork._arguments import check_model
from openwork.nn.sparse_layer import SparseLayer

__all__ = ["Dense", "dense_layers", "left_layers", "replace", "sparse_layers"]

Dense = nn.Conv2d | nn.Linear


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
    check_model(model)
    return {name: m for name, m in model.named_modules() if isinstance(m, SparseLayer)}


def left_layers(model: nn.Module) -> dict[str, str]:
    """Convolutions and linear layers that cannot be made sparse, and why: name -> reason."""
    check_model(model)
    users = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    reasons: dict[str, str] = {}
    for name, module in model.named_modules():
        reason = _reason_left(name, module, users)
        if reason:
            reasons[name] = reason
    return reasons


def _reason_left(name: str, module: nn.Module, users: Counter[int]) -> str | None:
    if isinstance(module, SparseLayer):
        return "it is sparse already; densify_ it first"
    if not isinstance(module, Dense):
        return None
    if not name:
        return "it is the whole model and cannot be replaced in place; wrap it in nn.Sequential"
    if type(module) not in (nn.Conv2d, nn.Linear):
        return f"{type(module).__name__} is not a plain layer and may compute something else"
    if "weight" not in module._parameters:
        return "its weight is re-parametrised; remove that first (torch.nn.utils.prune.remove)"
    if users[id(module.weight)] > 1:
        return "its weight is shared with another layer"
    if module.bias is not None and users[id(module.bias)] > 1:
        return "its bias is shared with another layer"
    return None


def replace(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Replace each key by its value everywhere in `model`; a shared module stays shared."""
    for parent in list(model.modules()):
        # Not named_children(), which yields a repeated child only once.
        for name, child in list(parent._modules.items()):
            if child in replacements:
                parent.register_module(name, replacements[child])
