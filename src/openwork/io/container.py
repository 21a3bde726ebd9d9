"""A safetensors file with a JSON header and a digest over both: written whole, checked on read."""

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from openwork._files import atomic_path, writing
from openwork.errors import CheckpointError
from openwork.runtime import container
from openwork.runtime.container import read_header as read_header

__all__ = ["read", "write"]


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write `tensors` and `header` (plain JSON data) to `path`, all of it or nothing.

    Raises:
        CheckpointError: the folder cannot be written to or the disk is full; an earlier file at
            `path` stays whole.
    """
    stored = _apart(tensors)
    text = json.dumps(header, sort_keys=True, allow_nan=True)
    metadata = {
        container.FORMAT_KEY: container.FORMAT,
        container.HEADER_KEY: text,
        container.HEADER_DIGEST_KEY: container.digest_of_header(text),
        container.DIGEST_KEY: _digest(stored, text),
    }
    # safetensors writes another file beside the one that it is given.
    with (
        writing(path, CheckpointError, "path"),
        atomic_path(path, apart=True) as temporary,
        _own_errors(),
    ):
        save_file(stored, temporary, metadata)


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Raise an error of safetensors as the OSError whose text it holds."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the header of the file at `path`. Nothing is unpickled.

    Raises:
        CheckpointError: the file does not exist, is truncated or edited, was not written by
            openwork, or is of a newer version.
    """
    tensors, header = container.read(path)
    return {name: _tensor(stored) for name, stored in tensors.items()}, header


def _tensor(stored: container.Stored) -> torch.Tensor:
    dtype = getattr(torch, stored.dtype.torch)
    return torch.from_numpy(stored.bytes).view(dtype).reshape(stored.shape)


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`tensors` on the CPU, each with separate memory: safetensors refuses tensors that overlap."""
    separate: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        stored = _flat(tensor.detach().cpu()).view(tensor.shape)
        memory = stored.untyped_storage().data_ptr()
        separate[name] = stored.clone() if memory in seen else stored
        seen.add(memory)
    return separate


def _digest(tensors: Mapping[str, torch.Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        dtype = str(tensor.dtype).removeprefix("torch.")
        digest.update(container.describe(name, dtype, tensor.shape))
        # As bytes: copying truths, for one, would make every byte 0 or 1.
        digest.update(_flat(tensor).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """`(numbers,)`, a view if `tensor` is contiguous.

    An axis of length 0 or 1 may have any stride, but torch and safetensors accept only the stride
    of a contiguous tensor.
    """
    flat = tensor.contiguous().reshape(-1)
    return flat.as_strided(flat.shape, (1,))
