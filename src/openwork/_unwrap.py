"""Modules that only pass calls on to a network: DistributedDataParallel and its kin."""

from typing import Any

from torch import nn

# Where each keeps the network.
_INNER = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def inner(module: nn.Module) -> nn.Module | None:
    """The network that `module` passes its calls on to; None if it computes something itself.

    Args:
        module: DistributedDataParallel, DataParallel, what `torch.compile` returns, or any other.
    """
    for kind in type(module).__mro__:
        if kind.__module__.partition(".")[0] == "torch" and kind.__name__ in _INNER:
            return getattr(module, _INNER[kind.__name__])
    return None


def unwrapped(module: Any) -> Any:
    """The network within `module`, which is `module` itself where nothing wraps it."""
    while isinstance(module, nn.Module) and (within := inner(module)) is not None:
        module = within
    return module
