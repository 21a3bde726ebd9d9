"""`OnnxNode`: one operator of an ONNX graph, its inputs and attributes read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from openwork.interchange.tensors import DTYPES
from openwork.interchange.values import (
    Constant,
    NotReadable,
    ShapeNumbers,
    Value,
    as_constant,
    as_sizes,
)


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """An operator of the default domain.

    Attributes:
        operator: such as "Conv".
        name: in the file, perhaps empty.
        opset: version of the operators.
        inputs: None for an optional one that is not given.
        outputs: how many results are read.
        attributes: numbers, texts, lists of them, and tensors.
    """

    operator: str
    name: str
    opset: int
    inputs: Sequence[Value | None]
    outputs: int
    attributes: dict[str, Any]

    def input(self, index: int) -> Value:
        """The input at `index`, which must be given."""
        value = self.optional(index)
        if value is None:
            raise NotReadable(f"input {index} is not given")
        return value

    def optional(self, index: int) -> Value | None:
        """The input at `index`, or None."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> Constant:
        """The input at `index`, which must be known from the file."""
        value = self.input(index)
        tensor = as_constant(value)
        if tensor is None:
            raise NotReadable(f"input {index} is computed, but must be known from the file")
        return value if isinstance(value, Constant) else Constant(tensor)

    def number(self, index: int, default: Any = None) -> Any:
        """The single number at `index`; `default` if it is not given."""
        if self.optional(index) is None:
            return default
        tensor = self.constant(index).tensor
        if tensor.numel() != 1:
            raise NotReadable(f"input {index} must be a single number")
        return tensor.item()

    def sizes(self, index: int) -> list[Any]:
        """The sizes at `index`: numbers, or nodes that give one."""
        found = as_sizes(self.input(index))
        if found is None:
            raise NotReadable(f"input {index} must be sizes, not computed from data")
        return list(found.items)

    def ints(self, index: int, attribute: str = "") -> list[int] | None:
        """The numbers at `index`, known from the file, or those of `attribute`; None if neither."""
        if attribute and attribute in self.attributes:
            value = self.attributes[attribute]
            return [int(each) for each in (value if isinstance(value, list) else [value])]
        if self.optional(index) is None:
            return None
        return [int(each) for each in self.constant(index).tensor.reshape(-1).tolist()]

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute `name`, or `default`."""
        return self.attributes.get(name, default)

    def text(self, name: str, default: str, choices: Sequence[str]) -> str:
        """The attribute `name`, which must be one of `choices`."""
        found = self.attribute(name, default)
        if found not in choices:
            raise NotReadable(f"`{name}` is {found!r}, but must be one of {', '.join(choices)}")
        return found

    def needs_one_output(self) -> None:
        """Refuse a node whose further results are read."""
        if self.outputs > 1:
            raise NotReadable("its second result is read")

    def are_sizes(self) -> bool:
        """Whether all inputs can be read as sizes, and one of them is not a constant."""
        given = [value for value in self.inputs if value is not None]
        return any(isinstance(v, ShapeNumbers) for v in given) and all(as_sizes(v) for v in given)


def dtype_named(number: int) -> torch.dtype:
    """The dtype that ONNX gives this number."""
    if number not in DTYPES:
        raise NotReadable(f"the type {number} is not one that openwork reads")
    return DTYPES[number]
