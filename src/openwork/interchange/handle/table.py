"""The table of all operators that openwork reads."""

from collections.abc import Callable
from typing import Any

from openwork.interchange.builder import Builder
from openwork.interchange.handle.activations import ACTIVATIONS
from openwork.interchange.handle.arithmetic import ARITHMETIC
from openwork.interchange.handle.layers import LAYERS
from openwork.interchange.handle.movement import MOVEMENT
from openwork.interchange.handle.norms import NORMS
from openwork.interchange.handle.pools import POOLS
from openwork.interchange.handle.quantised import QUANTISED
from openwork.interchange.handle.reductions import REDUCTIONS
from openwork.interchange.handle.resize import RESIZE
from openwork.interchange.handle.shapes import SHAPES
from openwork.interchange.onnx_node import OnnxNode

# Operator -> what builds it: gives a value, or one for each result.
HANDLERS: dict[str, Callable[[Builder, OnnxNode], Any]] = {
    **LAYERS,
    **NORMS,
    **POOLS,
    **ACTIVATIONS,
    **ARITHMETIC,
    **REDUCTIONS,
    **SHAPES,
    **MOVEMENT,
    **RESIZE,
    **QUANTISED,
}
