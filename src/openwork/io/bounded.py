"""A bound on single tensors, for whatever a file's header asks to be made."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from openwork.errors import ArgumentError

# So much is harmless, and leaves room for buffers that a model computes and does not save.
_HARMLESS = 1 << 24


class Bounded(TorchDispatchMode):
    """While it is entered, no tensor of more than `limit` numbers is made from its size.

    Raises:
        ArgumentError: instead of making it, so that nothing is allocated.
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
    """How many numbers a model has at most: those in the file, and the dead weights of `layers`."""
    held = sum(tensor.numel() for tensor in tensors.values())
    return max(_HARMLESS, held + sum(math.prod(entry["shape"]) for entry in layers.values()))
