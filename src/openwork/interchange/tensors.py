"""Weights of an ONNX model as tensors: from its own bytes, or from files beside it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openwork._files import open_file, why
from openwork.errors import CheckpointError
from openwork.interchange.packages import package

# Numbers of TensorProto.DataType; others, such as strings and 4-bit numbers, are refused.
DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
# How each lies in raw_data.
_RAW = {
    torch.float32: "<f4",
    torch.uint8: "u1",
    torch.int8: "i1",
    torch.int16: "<i2",
    torch.int32: "<i4",
    torch.int64: "<i8",
    torch.bool: "u1",
    torch.float16: "<f2",
    torch.float64: "<f8",
    torch.bfloat16: "<i2",
}
_EXTERNAL = 1


class Weights:
    """Reads tensors; all of them together take no more memory than twice what the files hold.

    Args:
        folder: of the model; None for a model of bytes, which has no files beside it.
        size: bytes of the model.
    """

    def __init__(self, folder: Path | None, size: int) -> None:
        self._folder = folder
        self._left = 2 * size + (1 << 20)
        self._known: set[Path] = set()

    def read(self, proto: Any) -> torch.Tensor:
        """The tensor, a copy.

        Raises:
            CheckpointError: it is of a kind that openwork does not read, or its data does not
                have the size that it states.
        """
        name = f"the tensor {proto.name!r}"
        dtype = DTYPES.get(proto.data_type)
        if dtype is None:
            names = package("onnx").TensorProto.DataType
            known = proto.data_type in names.values()
            kind = names.Name(proto.data_type) if known else proto.data_type
            raise CheckpointError(f"{name} is of type {kind}, which openwork does not read")
        shape = _shape(name, proto.dims)
        size = math.prod(shape) * dtype.itemsize
        if proto.data_location == _EXTERNAL:
            raw = self._external(name, proto, size)
        elif proto.HasField("raw_data"):
            raw = proto.raw_data
        else:
            return self._typed(name, proto, dtype, shape)
        if len(raw) != size:
            raise CheckpointError(
                f"{name} of shape {shape} must have {size:,} bytes, but has {len(raw):,}"
            )
        self._spend(name, size)
        array = np.frombuffer(raw, _RAW[dtype]).reshape(shape).copy()
        tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        if dtype == torch.bool:
            return tensor != 0
        return tensor.view(dtype) if dtype == torch.bfloat16 else tensor

    def _typed(
        self, name: str, proto: Any, dtype: torch.dtype, shape: tuple[int, ...]
    ) -> torch.Tensor:
        """A tensor whose numbers are stored one by one."""
        field = {
            torch.float32: proto.float_data,
            torch.int64: proto.int64_data,
            torch.float64: proto.double_data,
        }.get(dtype, proto.int32_data)
        if len(field) != math.prod(shape):
            raise CheckpointError(
                f"{name} of shape {shape} must have {math.prod(shape):,} numbers, but has "
                f"{len(field):,}"
            )
        self._spend(name, len(field) * dtype.itemsize)
        if dtype in (torch.float16, torch.bfloat16):
            # Sixteen bits in the lower half of each number.
            halves = np.array(field, np.int64).astype(np.uint16).view(np.int16)
            return torch.from_numpy(halves).view(dtype).reshape(shape)
        array = np.array(field, np.float64 if dtype == torch.float64 else None)
        return torch.from_numpy(array).to(dtype).reshape(shape)

    def _spend(self, name: str, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise CheckpointError(f"{name} and those before it take more than the files hold")

    def _external(self, name: str, proto: Any, size: int) -> bytes:
        entries = {each.key: each.value for each in proto.external_data}
        if self._folder is None:
            raise CheckpointError(
                f"{name} lies in another file, which bytes cannot refer to; pass the path of the "
                "model"
            )
        path = self._confined(name, entries.get("location", ""))
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(size)))
        except ValueError as error:
            raise CheckpointError(f"{name} has a place that is not a number: {error}") from error
        if offset < 0 or length != size:
            raise CheckpointError(
                f"{name} must have {size:,} bytes, but names {length:,} from {offset:,}"
            )
        try:
            with open_file(path) as file:
                there = file.seek(0, 2)
                if path not in self._known:
                    self._known.add(path)
                    self._left += 2 * there
                if offset + size > there:
                    raise CheckpointError(f"{name} lies beyond the end of {path.name!r}")
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise CheckpointError(
                f"{name} lies in {str(path)!r}, which cannot be read ({why(error)})"
            ) from error

    def _confined(self, name: str, location: str) -> Path:
        """The file at `location`, which must lie in the folder of the model."""
        folder = (self._folder or Path()).resolve()
        try:
            path = (folder / location).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{name} lies at {location!r:.200}, not a path") from error
        if not location or path == folder or not path.is_relative_to(folder):
            raise CheckpointError(
                f"{name} lies at {location!r:.200}, but must lie in the folder of the model"
            )
        return path


def _shape(name: str, dims: Sequence[int]) -> tuple[int, ...]:
    if len(dims) > 16 or any(size < 0 for size in dims):
        raise CheckpointError(f"{name} has the shape {tuple(dims)[:17]}, which no tensor has")
    return tuple(dims)
