"""Nested Python data as JSON and arrays: nothing but the types listed here."""

from collections import OrderedDict
from typing import Any, cast

import numpy as np

from openwork.patterns import Pattern
from openwork.runtime.file_errors import NotSerializable
from openwork.runtime.values import Alias, Value

__all__ = ["Encoder"]


class Encoder:
    """Python data to JSON. What needs torch is added by a subclass in the engine.

    Attributes:
        tensors: the arrays that the JSON refers to, by name.
        values: the values met, each alias after the value that it views, as JSON.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        self.values: list[dict[str, Any]] = []
        self._numbers: dict[Value, int] = {}

    def encode(self, item: Any) -> Any:
        """`item` as JSON.

        Raises:
            NotSerializable: it holds something of another type.
        """
        # By the exact type: a named tuple would come back as a plain one.
        kind = cast(type[Any], type(item))
        if item is None or kind in (bool, int, float, str):
            return item
        if kind is list:
            return [self.encode(each) for each in item]
        if kind is tuple:
            return {"tuple": [self.encode(each) for each in item]}
        if kind in (dict, OrderedDict):
            pairs = [[self.encode(key), self.encode(each)] for key, each in item.items()]
            return {"ordered" if kind is OrderedDict else "dict": pairs}
        if isinstance(item, Value):
            return {"value": self._number(item)}
        return self.encode_leaf(item)

    def encode_leaf(self, item: Any) -> Any:
        """An item that is neither plain nor a container nor a value, as JSON."""
        if isinstance(item, np.ndarray):
            return {"array": self.keep(self.stored(np.ascontiguousarray(cast(np.ndarray, item))))}
        if isinstance(item, Pattern):
            gaps = self.keep(self.stored(item.gaps.copy()))
            return {"pattern": [list(item.shape), item.groups, item.whole, gaps]}
        raise NotSerializable(f"a {type(item).__module__}.{type(item).__qualname__}")

    def stored(self, array: np.ndarray) -> Any:
        """`array` as `tensors` holds it."""
        return array

    def keep(self, tensor: Any) -> str:
        """Add to `tensors`; the name that was given."""
        name = f"t{len(self.tensors)}"
        self.tensors[name] = tensor
        return name

    def _number(self, value: Value) -> int:
        if value not in self._numbers:
            record: dict[str, Any] = {"name": value.name, "shape": list(value.shape)}
            if isinstance(value, Alias):
                record["of"] = self._number(value.of)
            self._numbers[value] = len(self.values)
            self.values.append(record)
        return self._numbers[value]
