"""Evaluation mode for a while, whatever modes the parts of a model are in."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block, and afterwards each module as it was, frozen ones too."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
