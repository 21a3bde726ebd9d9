"""Evaluation mode for a block of code, whatever modes the parts of a model are in."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation(*models: nn.Module) -> Iterator[None]:
    """Put `models` into evaluation mode within the block, then restore each module's own mode."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
