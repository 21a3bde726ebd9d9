"""`profile`: what runs each layer and how long it takes."""

from collections.abc import Sequence

import torch
from torch import nn

from openwork.engine.compile import compile
from openwork.nn import Table


def profile(
    model: nn.Module,
    example: torch.Tensor | Sequence[torch.Tensor],
    *,
    optimize: str = "speed",
) -> Table:
    """The per-layer table of `model` compiled: kernel, milliseconds, torch's, and their ratio.

    Times are of single calls, taken when the kernel was chosen. They include the call from Python,
    about 6 microseconds, which a layer inside a compiled network does not need.

    Args:
        model: any module that torch.export captures; it is not changed.
        example: an input batch `(batch, ...)`, or several tensors, float32 on the CPU.
        optimize: "speed" (default) or "memory", as in `compile`.

    Raises:
        CaptureError, VerificationError, ArgumentError: as `compile`.
    """
    return compile(model, example, optimize=optimize).layers
