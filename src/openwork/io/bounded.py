"""A limit on the size of single tensors that a file's header can make the loader allocate."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from openwork.errors import ArgumentError

# Always allowed: harmless, and enough for buffers that a model computes and does not save.
_HARMLESS = 1 << 24


class Bounded(TorchDispatchMode):
    """Within the block, no tensor of more than `limit` numbers can be made from a size.

    Raises:
        ArgumentError: instead of making the tensor, so that nothing is allocated.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if args and isinstance(args[0], list | tuple):
            sizes = [size for size in args[0] if isinstance(size, int)]
            if math.prod(sizes) > self._limit:
                raise ArgumentError(
                    f"a tensor of shape {tuple(sizes)} is larger than all that the file holds"
                )
        return func(*args, **(kwargs or {}))


def described(tensors: Mapping[str, torch.Tensor], layers: Mapping[str, Any]) -> int:
    """The most numbers a model can have: those in the file, plus the dense sizes of `layers`."""
    stored = sum(tensor.numel() for tensor in tensors.values())
    return max(_HARMLESS, stored + sum(math.prod(entry["shape"]) for entry in layers.values()))
