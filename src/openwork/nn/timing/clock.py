"""How long a network takes once it is compiled. `engine` measures; it registers itself here."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["CompiledTimes", "compiled_times", "register_clock"]


@dataclass(frozen=True)
class CompiledTimes:
    """What one call of a compiled network takes, in seconds.

    Attributes:
        layers: qualified name -> the time of the layer's calls, from when its kernel was chosen.
        whole: the time of the network, which is more or less than the sum.
    """

    layers: Mapping[str, float]
    whole: float


# (network, example) -> its times; the network is not changed.
Clock = Callable[[nn.Module, Any], CompiledTimes]

_CLOCKS: dict[str, Clock] = {}
# The room that registers a clock when it is imported, which the program need not have done.
_ROOM = "openwork.engine"


def register_clock(clock: Clock) -> None:
    """Make `clock` the one that `compiled_times` asks."""
    _CLOCKS[_ROOM] = clock


def compiled_times(model: nn.Module, example: Any) -> CompiledTimes:
    """Compile `model` for `example`, an input batch (N, ...), and time it on this machine."""
    importlib.import_module(_ROOM)
    return _CLOCKS[_ROOM](model, example)
