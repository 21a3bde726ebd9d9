"""Whether a module computes its weight or bias from other tensors, by what, and how to stop it."""

from collections.abc import Iterator

from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["reparametrised"]


def reparametrised(module: nn.Module, *, masks: bool = True) -> str | None:
    """What computes the tensors of `module`, and the call that stops it, in words; or None.

    Args:
        module: a layer.
        masks: whether masks of `torch.nn.utils.prune` count.
    """
    return "; ".join([*_causes(module), *(_masks(module) if masks else ())]) or None


def _causes(module: nn.Module) -> Iterator[str]:
    if parametrize.is_parametrized(module):
        for name, chain in module.parametrizations.items():  # type: ignore[union-attr, operator]
            kinds = ", ".join(type(one).__name__ for one in chain)
            yield _cause(
                name,
                f"{kinds} of torch.nn.utils.parametrize",
                f"parametrize.remove_parametrizations(layer, {name!r})",
            )
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            way = f"torch.nn.utils.remove_weight_norm(layer, {hook.name!r})"
            yield _cause(hook.name, "torch.nn.utils.weight_norm", way)
        elif isinstance(hook, SpectralNorm):
            way = f"torch.nn.utils.remove_spectral_norm(layer, {hook.name!r})"
            yield _cause(hook.name, "torch.nn.utils.spectral_norm", way)


def _masks(module: nn.Module) -> Iterator[str]:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            name = hook._tensor_name
            yield (
                f"its {name} is masked by {type(hook).__name__} of torch.nn.utils.prune; make the "
                f"mask permanent with torch.nn.utils.prune.remove(layer, {name!r})"
            )


def _cause(name: str, what: str, way: str) -> str:
    return f"its {name} is re-parametrised by {what}; remove that with {way}"
