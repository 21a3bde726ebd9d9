"""`profile`: what runs each layer and how long it takes."""

from typing import Any

from torch import nn

from openwork._call import call_of
from openwork.engine.compile import compile
from openwork.engine.compiled import CompiledModel
from openwork.nn import Table


def profile(
    model: nn.Module,
    example: Any,
    *,
    optimize: str = "speed",
) -> Table:
    """The per-layer table of `model` compiled: kernel, milliseconds, torch's, and their ratio.

    Times are of single calls, taken when the kernel was chosen. They include the call from Python,
    about 6 microseconds, which a layer inside a compiled network does not need.

    Args:
        model: any module that torch.export captures; it is not changed. Of a network that is
            compiled already, the times are those of when it was compiled.
        example: an input batch `(batch, ...)`, or several inputs, as in `compile`.
        optimize: "speed" (default) or "memory", as in `compile`.

    Raises:
        CaptureError, VerificationError, ArgumentError: as `compile`.
    """
    if isinstance(model, CompiledModel):
        call_of(model, example).run(model)
        return model.layers
    return compile(model, example, optimize=optimize).layers
