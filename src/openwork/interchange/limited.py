"""A limit on what is computed from constants alone: a file of some bytes can ask for any size."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from openwork.interchange.values import NotReadable

_MOST = 1 << 24


class Limited(TorchDispatchMode):
    """Within the block, no tensor of more than 16 million numbers is computed.

    Raises:
        NotReadable: instead of computing it, so that nothing is allocated.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        size = max((each.numel() for each in _size_of(func, args, kwargs)), default=0)
        if size > _MOST:
            raise NotReadable(f"it gives {size:,} numbers from constants alone")
        return func(*args, **kwargs)


def _size_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The results without their data."""
    named = {name: _without_data(each) for name, each in kwargs.items()}
    if any(each.name == "device" for each in func._schema.arguments):
        named["device"] = torch.device("meta")
    try:
        found = func(*tree_map(_without_data, args), **named)
    except Exception:
        # Some operators cannot tell from shapes alone; they give no more than they are given.
        return []
    return [each for each in tree_leaves(found) if isinstance(each, torch.Tensor)]


def _without_data(argument: Any) -> Any:
    return argument.to("meta") if isinstance(argument, torch.Tensor) else argument
