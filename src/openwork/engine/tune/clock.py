"""What a compiled network takes on this machine, as a whole and by layer."""

import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from openwork._call import call_of
from openwork.engine.compile import compile
from openwork.nn.timing.clock import CompiledTimes, register_clock

# Calls that are timed: at least this many, and for at least so many seconds.
_CALLS = 30
_SECONDS = 0.3
_WARM_UP = 5


@torch.inference_mode()
def measure(model: nn.Module, example: Any) -> CompiledTimes:
    """Compile `model` and time it; kernels that are remembered are not measured again.

    Args:
        model: the network; it is not changed.
        example: an input batch (N, ...), or several inputs, as in `compile`.
    """
    with torch.inference_mode(False):
        compiled = compile(model, example)
    layers: dict[str, float] = defaultdict(float)
    for name, milliseconds in zip(
        compiled.layers.column("layer"), compiled.layers.column("ms"), strict=True
    ):
        layers[name] += 1e-3 * milliseconds
    call = call_of(compiled, example)
    for _ in range(_WARM_UP):
        call.run(compiled)
    seconds: list[float] = []
    while len(seconds) < _CALLS or sum(seconds) < _SECONDS:
        began = time.perf_counter()
        call.run(compiled)
        seconds.append(time.perf_counter() - began)
    return CompiledTimes(dict(layers), statistics.median(seconds))


def register() -> None:
    """Let `openwork.nn` time compiled networks."""
    register_clock(measure)
