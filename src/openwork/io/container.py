"""A safetensors file with a JSON header and a digest over both: written whole, checked on read."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from openwork._files import atomic_path
from openwork.errors import CheckpointError

FORMAT = "1"
_FORMAT_KEY, _HEADER_KEY, _DIGEST_KEY = "openwork.format", "openwork.header", "openwork.digest"
# Digest of the header alone, so that it can be checked without reading the tensors.
_HEADER_DIGEST_KEY = "openwork.header_digest"


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
        _FORMAT_KEY: FORMAT,
        _HEADER_KEY: text,
        _HEADER_DIGEST_KEY: _digest({}, text),
        _DIGEST_KEY: _digest(stored, text),
    }
    try:
        with atomic_path(path) as temporary:
            save_file(stored, temporary, metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"`path`={str(path)!r} could not be written ({error}); an earlier file there is "
            "unharmed. Free some space or choose another folder"
        ) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the header of the file at `path`. Nothing is unpickled.

    Raises:
        CheckpointError: the file does not exist, is truncated or edited, was not written by
            openwork, or is of a newer version.
    """
    header, digest = _read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        tensors = {name: _own(path, name) for name in names}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    if _digest(tensors, header) != digest:
        raise _edited(path)
    return tensors, json.loads(header)


def _own(path: str | os.PathLike[str], name: str) -> torch.Tensor:
    """A copy of the tensor called `name`.

    safetensors returns a view of the mapped file, which a later change of the file would alter, and
    copying that in one go takes the memory twice. So it is copied piece by piece, each mapped only
    while it is copied.
    """
    with safe_open(path, framework="pt") as file:
        view = file.get_slice(name)
        shape = view.get_shape()
        numbers = math.prod(shape)
        if not shape or numbers <= _PIECE:
            tensor = file.get_tensor(name)
            return _bytes(tensor).clone().view(tensor.dtype).reshape(shape)
        tensor = torch.empty(shape, dtype=view[:0].dtype)
    rows = max(1, _PIECE * shape[0] // numbers)
    for first in range(0, shape[0], rows):
        with safe_open(path, framework="pt") as file:
            piece = file.get_slice(name)[first : first + rows]
            _bytes(tensor[first : first + rows]).copy_(_bytes(piece))
    return tensor


# Numbers read at a time.
_PIECE = 1 << 21


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header, checked, without reading the tensors.

    Raises:
        CheckpointError: as for `read`.
    """
    return json.loads(_read_header(path)[0])


def _read_header(path: str | os.PathLike[str]) -> tuple[str, str]:
    if not Path(path).is_file():
        raise CheckpointError(f"`path`={str(path)!r} is not a file; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    if not {_FORMAT_KEY, _HEADER_KEY, _HEADER_DIGEST_KEY, _DIGEST_KEY} <= set(metadata):
        raise CheckpointError(
            f"`path`={str(path)!r} is a safetensors file, but openwork did not write it; load it "
            "with safetensors and pass its tensors to load_state_dict"
        )
    if metadata[_FORMAT_KEY] != FORMAT:
        raise CheckpointError(
            f"`path`={str(path)!r} has format {metadata[_FORMAT_KEY]!r}, but this version of "
            f"openwork reads format {FORMAT!r}; use the version that wrote it"
        )
    if _digest({}, metadata[_HEADER_KEY]) != metadata[_HEADER_DIGEST_KEY]:
        raise _edited(path)
    return metadata[_HEADER_KEY], metadata[_DIGEST_KEY]


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
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor).numpy().data)
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """A view of `tensor` as bytes; copying a bool tensor as such would make every byte 0 or 1."""
    return _flat(tensor).view(torch.uint8)


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """`(numbers,)`, a view if `tensor` is contiguous.

    An axis of length 0 or 1 may have any stride, but torch and safetensors accept only the stride
    of a contiguous tensor.
    """
    flat = tensor.contiguous().reshape(-1)
    return flat.as_strided(flat.shape, (1,))


def _edited(path: str | os.PathLike[str]) -> CheckpointError:
    return CheckpointError(
        f"`path`={str(path)!r} has been changed since openwork wrote it: its digest does not "
        "match. Use an unchanged copy"
    )


def _damaged(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    return CheckpointError(
        f"`path`={str(path)!r} is truncated or not a safetensors file ({error}); use a complete "
        "copy"
    )
