"""Encoder and decoder of files for what needs torch: tensors, dtypes and the like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx.immutable_collections import immutable_dict, immutable_list

from openwork.runtime.decode import Decoder, check_type, short
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile, NotSerializable, require

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
        return super().encode(item)

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
    """JSON to Python data; `tensors` are torch's."""

    def forms(self) -> dict[str, Callable[[Any], Any]]:
        """The decoder of each tag."""
        constants = {kind: self._constants(kind) for kind in _CONSTANTS}
        return {**super().forms(), **constants, "device": self._device}

    def array(self, name: Any) -> np.ndarray:
        """The tensor called `name`, as an array."""
        return self.tensor(name).numpy()

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
