"""What the handlers of exported operators share: known values, constants, and how to decline."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture import Captured
from openwork.capture.operators import NotUnderstood
from openwork.engine.lower.places import Places
from openwork.runtime.values import Value


@dataclass(frozen=True, eq=False)
class NarrowWeight:
    """A weight in int8.

    Attributes:
        numbers: int8, of the weight's shape.
        scale: `(out_channels,)` float64.
    """

    numbers: np.ndarray
    scale: np.ndarray


class Lowering:
    """What is known so far of a captured network.

    Attributes:
        values: exported node -> the value it gives.
        constants: name of an exported node -> what it always gives.
        native: exported nodes that became nodes of the engine.
        copies: exported nodes that stand for the same numbers as others, but are copies in torch.
        bytes: exported nodes that give bytes -> the value that holds them.
        orders: exported nodes that give bytes -> the axis in memory of each of their axes.
        narrow: name of an exported node, or a convolution -> its weight in int8.
        in_memory: such values -> the same numbers in the order of memory (in_memory.py).
        places: values that hold numbers of others in another order -> where these lie there.
    """

    def __init__(self, captured: Captured) -> None:
        self.values: dict[FxNode, Value] = {}
        self.constants: dict[str, Any] = dict(captured.constants)
        self.native: set[FxNode] = set()
        self.copies: set[FxNode] = set()
        self.bytes: dict[FxNode, Value] = {}
        self.orders: dict[FxNode, tuple[int, ...]] = {}
        self.narrow: dict[Any, NarrowWeight] = {}
        self.places: dict[Value, Places] = {}
        self.in_memory: dict[Value, Any] = {}
        self._names, self._parameters = captured.names, captured.parameters
        # As text: comparing symbolic sizes themselves would have torch decide that they are equal.
        self._batches: set[str] = set()

    def add_input(self, fx: FxNode) -> Value:
        """A value for one of the network's inputs."""
        self.values[fx] = value = self.value(fx)
        self._batches.add(str(fx.meta["val"].shape[0]))
        return value

    def value(self, fx: FxNode) -> Value:
        """A new value for what `fx` gives; sizes that depend on the input are -1."""
        held = fx.meta.get("val")
        shape = tuple(held.shape[1:]) if isinstance(held, torch.Tensor) and held.dim() else ()
        return Value(tuple(n if isinstance(n, int) else -1 for n in shape), fx.name)

    def output(self, fx: FxNode) -> Value:
        """The value that `fx` gives, if it is a batch of float32 numbers of known shape."""
        self.check(fx)
        return self.value(fx)

    def input(self, argument: Any) -> Value:
        """The value behind `argument`, if it is such a batch too."""
        if not isinstance(argument, FxNode) or argument not in self.values:
            raise NotUnderstood(f"{argument} is not an activation")
        self.check(argument)
        return self.values[argument]

    def check(self, fx: FxNode) -> None:
        """Require a batch of float32 numbers of known shape."""
        held = fx.meta.get("val")
        if not isinstance(held, torch.Tensor) or held.dtype != torch.float32 or held.dim() < 2:
            raise NotUnderstood("not a batch of float32 numbers")
        if any(not isinstance(n, int) for n in held.shape[1:]):
            raise NotUnderstood("a shape that depends on the input")
        if str(held.shape[0]) not in self._batches:
            raise NotUnderstood("no batch axis in front")
        if 0 in held.shape[1:]:
            raise NotUnderstood("an empty tensor")

    def constant(self, argument: Any) -> np.ndarray | None:
        """A copy of the parameter or buffer behind `argument`; None for None."""
        if argument is None:
            return None
        held = self.constants.get(argument.name) if isinstance(argument, FxNode) else None
        if not isinstance(held, torch.Tensor):
            raise NotUnderstood("a weight that is computed from the input")
        return array(held)

    def operand(self, source: FxNode) -> Any:
        """What an operator left to torch is given: a value, or a copy of a constant."""
        if source.name not in self.constants:
            return self.values[source]
        # The original may be trained further.
        held = self.constants[source.name]
        return held.detach().clone() if isinstance(held, torch.Tensor) else held

    def keep_narrow(self, fx: FxNode, source: FxNode, weight: NarrowWeight) -> None:
        """Note that `fx` always gives the numbers of `source`, an int8 weight, as floats."""
        self.narrow[fx.name] = weight
        if source.name in self._names:
            self._parameters[fx.name] = self._names[source.name]

    def layer_name(self, fx: FxNode, weight: FxNode) -> str:
        """The qualified name of the layer that calls `fx` with `weight`."""
        name = self._parameters.get(weight.name)
        if name is None:
            # Computed, as normalised weights are: then only the module that asks for it has a name.
            stack = list(fx.meta.get("nn_module_stack", {}).values())
            return (stack[-1][0] if stack else "") or weight.name
        return name.rpartition(".")[0] or name


def array(held: Any) -> np.ndarray:
    """A copy of a constant tensor or number; floats that numpy lacks become float32."""
    tensor = held if isinstance(held, torch.Tensor) else torch.from_numpy(np.asarray(held))
    if tensor.is_complex():
        raise NotUnderstood("complex numbers")
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    return tensor.detach().cpu().numpy().copy()


_NUMPY_FLOATS = {torch.float16, torch.float32, torch.float64}


def pair(value: Any) -> tuple[int, int]:
    """(vertical, horizontal) of what torch takes as one number or two."""
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def map_size(value: Value) -> tuple[int, int]:
    """(height, width) of a batch of maps."""
    if len(value.shape) != 3:
        raise NotUnderstood("not a batch of feature maps")
    return value.shape[1], value.shape[2]
