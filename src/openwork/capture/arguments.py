"""Arguments of all who capture a network and compare its outputs."""

from collections.abc import Sequence
from typing import Any

import torch

from openwork.errors import ArgumentError
from openwork.patterns._checks import is_number


def tensors_of(example: Any, argument: str = "example") -> tuple[torch.Tensor, ...]:
    """The tensors of an input batch, given as one or as a sequence.

    Raises:
        ArgumentError: it is something else.
    """
    tensors = (example,) if isinstance(example, torch.Tensor) else example
    if not isinstance(tensors, Sequence):
        raise ArgumentError(
            f"`{argument}` is a {type(example).__name__}, but must be a tensor or a sequence of "
            "tensors, such as torch.randn(1, 3, 224, 224)"
        )
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, torch.Tensor):
            raise ArgumentError(
                f"`{argument}` holds a {type(tensor).__name__} at place {index}, but must be a "
                "tensor or a sequence of tensors"
            )
    return tuple(tensors)


def check_tolerance(tolerance: Any) -> None:
    """It is a number of at least 0, and not NaN, which nothing is larger than."""
    if not is_number(tolerance) or not tolerance >= 0:
        raise ArgumentError(
            f"`tolerance`={tolerance!r} must be a number of at least 0: the largest difference "
            "allowed, relative to the largest output"
        )
