"""The rules that arguments of more than one function of this room obey."""

import math
from typing import Any

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.patterns._checks import is_number


def check_model(model: Any, argument: str = "model") -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"`{argument}` is a {type(model).__name__}, but must be a torch.nn.Module"
        )


def check_threshold(argument: str, value: Any) -> None:
    if not is_number(value) or not math.isfinite(value) or value < 0:
        raise ArgumentError(f"`{argument}`={value!r} must be a number of at least 0, such as 1e-3")


def check_optimizer_kind(optimizer: Any) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ArgumentError(
            f"`optimizer`={optimizer!r} must be a torch.optim.Optimizer, the one that trains or "
            "trained `model`"
        )
