"""Encoder and decoder of files for what needs torch: tensors, dtypes and the like."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.fx.immutable_collections import immutable_dict, immutable_list

from openwork._nested import Typed
from openwork.runtime.decode import Decoder, check_type, short
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile, NotSerializable, require

__all__ = ["TorchDecoder", "TorchEncoder"]


def container_class(module: str, name: str) -> type | None:
    """The class of that name, if it is imported and building an instance runs no code of its."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    if not isinstance(found, type) or hasattr(found, "__del__"):
        return None
    containers = issubclass(found, tuple | list | dict) or dataclasses.is_dataclass(found)
    return found if containers else None


def _check_attribute(kind: type, name: Any) -> None:
    usable = isinstance(name, str) and name.isidentifier() and not name.startswith("__")
    if not usable or isinstance(getattr(kind, name, None), property):
        raise MalformedFile(f"{short(name)} must be the name of an attribute of {kind.__name__}")


_CONSTANTS = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}


class TorchEncoder(Encoder):
    """Python data to JSON; `tensors` are torch's."""

    def encode(self, item: Any) -> Any:
        """`item` as JSON.

        Raises:
            NotSerializable: it holds something that a file cannot.
        """
        kind = type(item)
        if kind is immutable_list:
            item = list(item)
        elif kind is immutable_dict:
            item = dict(item)
        elif kind is torch.Size:
            item = tuple(item)
        elif kind is Typed:
            return self._typed(item)
        return super().encode(item)

    def _typed(self, item: Typed) -> Any:
        """A container of another class, which is named; numpy alone builds what it contains."""
        kind, content = item.kind, self.encode(item.content)
        if kind is torch.Size:
            return content
        # A class that a function defined cannot be found again.
        if item.spec is not None or "<" in kind.__qualname__:
            raise NotSerializable(f"a {kind.__module__}.{kind.__qualname__}")
        others, aliases = item.attributes or ({}, {})
        attributes = [self.encode(others), self.encode(aliases)]
        return {"typed": [kind.__module__, kind.__qualname__, content, attributes]}

    def encode_leaf(self, item: Any) -> Any:
        """A tensor, a constant of torch, or what needs no torch, as JSON."""
        if type(item) in (torch.Tensor, torch.nn.Parameter):
            if item.layout != torch.strided or item.is_quantized or item.device.type != "cpu":
                raise NotSerializable(f"a tensor of {item.layout} on {item.device}")
            return {"tensor": self.keep(item.detach())}
        for name, kind in _CONSTANTS.items():
            if isinstance(item, kind):
                return {name: str(item).removeprefix("torch.")}
        if isinstance(item, torch.device) and item == torch.device("cpu"):
            return {"device": "cpu"}
        return super().encode_leaf(item)

    def stored(self, array: np.ndarray) -> torch.Tensor:
        """`array` as a tensor that shares its memory."""
        return torch.from_numpy(array)


class TorchDecoder(Decoder):
    """JSON to Python data; `tensors` are torch's.

    Attributes:
        missing: names of classes that are not imported here, in whose place plain data came.
    """

    def __init__(self, tensors: Mapping[str, Any], values: Sequence[Any]) -> None:
        self.missing: list[str] = []
        super().__init__(tensors, values)

    def forms(self) -> dict[str, Callable[[Any], Any]]:
        """The decoder of each tag."""
        constants = {kind: self._constants(kind) for kind in _CONSTANTS}
        return {**super().forms(), **constants, "device": self._device}

    def array(self, name: Any) -> np.ndarray:
        """The tensor called `name`, as an array."""
        return self.tensor(name).numpy()

    def typed(self, parts: Any) -> Any:
        """A container of a class that is imported already; nothing is imported for a file."""
        content = super().typed(parts)
        module, name, _, attributes = parts
        kind = container_class(check_type(module, str), check_type(name, str))
        if kind is None:
            self.missing.append(f"{short(module)[1:-1]}.{short(name)[1:-1]}")
            return content
        others, aliases = map(self.decode, check_type(attributes, list))
        fields = {} if issubclass(kind, tuple | list | dict) else content
        for names in (fields, others, aliases):
            for attribute in check_type(names, dict):
                _check_attribute(kind, attribute)
        return Typed(kind, content, (others, aliases) if issubclass(kind, dict) else None)

    def _constants(self, kind: str) -> Callable[[Any], Any]:
        def find(name: Any) -> Any:
            constant = getattr(torch, check_type(name, str), None)
            if not isinstance(constant, _CONSTANTS[kind]):
                raise MalformedFile(f"{short(name)} must be a {kind} of torch")
            return constant

        return find

    def _device(self, name: Any) -> torch.device:
        require(name == "cpu", f"a compiled network runs on the CPU, not on {short(name)}")
        return torch.device("cpu")
