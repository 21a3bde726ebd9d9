"""Reading openwork's files without torch: safetensors with a JSON header, and a digest over both.

The layout of safetensors: 8 bytes with the length of a JSON text, the text, then the tensors' bytes
without gaps. Our header and digests are texts among its `__metadata__`.
"""

import contextlib
import hashlib
import math
import os
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, cast

import numpy as np

from openwork._files import open_file, unreadable
from openwork._foreign import kind_of_file, not_ours
from openwork._json import decode_mapping
from openwork.errors import CheckpointError
from openwork.runtime.memory import empty_bytes

__all__ = [
    "DIGEST_KEY",
    "FORMAT",
    "FORMAT_KEY",
    "HEADER_DIGEST_KEY",
    "HEADER_KEY",
    "Stored",
    "describe",
    "digest_of_header",
    "read",
    "read_header",
    "read_layout",
]

FORMAT = "1"
FORMAT_KEY, HEADER_KEY, DIGEST_KEY = "openwork.format", "openwork.header", "openwork.digest"
# Digest of the header alone, so that it can be checked without reading the tensors.
HEADER_DIGEST_KEY = "openwork.header_digest"
# Bytes of the JSON text at most, as safetensors has it.
_LONGEST = 100_000_000
# Axes of a tensor at most, as numpy has it.
_MOST_AXES = 64
# Bytes read and digested at a time, small enough to stay in cache between the two.
_PIECE = 1 << 20


@dataclass(frozen=True)
class DType:
    """A type of numbers.

    Attributes:
        torch: torch's name, which is also in digests.
        size: bytes of one number.
        numpy: numpy's name, or None if numpy lacks it.
    """

    torch: str
    size: int
    numpy: str | None


DTYPES = {
    "F64": DType("float64", 8, "<f8"),
    "F32": DType("float32", 4, "<f4"),
    "F16": DType("float16", 2, "<f2"),
    "BF16": DType("bfloat16", 2, None),
    "F8_E4M3": DType("float8_e4m3fn", 1, None),
    "F8_E4M3FNUZ": DType("float8_e4m3fnuz", 1, None),
    "F8_E5M2": DType("float8_e5m2", 1, None),
    "F8_E5M2FNUZ": DType("float8_e5m2fnuz", 1, None),
    "F8_E8M0": DType("float8_e8m0fnu", 1, None),
    "I64": DType("int64", 8, "<i8"),
    "I32": DType("int32", 4, "<i4"),
    "I16": DType("int16", 2, "<i2"),
    "I8": DType("int8", 1, "i1"),
    "U64": DType("uint64", 8, "<u8"),
    "U32": DType("uint32", 4, "<u4"),
    "U16": DType("uint16", 2, "<u2"),
    "U8": DType("uint8", 1, "u1"),
    "BOOL": DType("bool", 1, "?"),
    "C64": DType("complex64", 8, "<c8"),
}


@dataclass(frozen=True, eq=False)
class Stored:
    """One tensor as a file holds it.

    Attributes:
        dtype: type of its numbers.
        shape: sizes of its axes.
        bytes: `(bytes,)` uint8, in memory that nothing else shares.
    """

    dtype: DType
    shape: tuple[int, ...]
    bytes: np.ndarray

    def array(self) -> np.ndarray:
        """The tensor as an array of `shape`, without a copy.

        Raises:
            CheckpointError: numpy does not have its type.
        """
        if self.dtype.numpy is None:
            raise CheckpointError(
                f"a tensor of {self.dtype.torch} cannot be read without torch; use `openwork.load`"
            )
        return self.bytes.view(self.dtype.numpy).reshape(self.shape)


@dataclass(frozen=True)
class _Entry:
    """Where one tensor lies, in bytes behind the JSON text."""

    dtype: DType
    shape: tuple[int, ...]
    first: int
    last: int


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Stored], dict[str, Any]]:
    """The tensors and the header of the file at `path`. Nothing is unpickled.

    Raises:
        CheckpointError: the file does not exist, is truncated or edited, was not written by
            openwork, or is of a newer version.
    """
    with _opened(path) as file:
        entries, metadata = _read_front(file)
        header, digest = _checked(path, metadata)
        hashed = hashlib.sha256(header.encode())
        tensors: dict[str, Stored] = {}
        start = file.tell()
        for name in sorted(entries):
            entry = entries[name]
            hashed.update(describe(name, entry.dtype.torch, entry.shape))
            file.seek(start + entry.first)
            content = _read_piece_by_piece(file, entry.last - entry.first, hashed)
            tensors[name] = Stored(entry.dtype, entry.shape, content)
    if hashed.hexdigest() != digest:
        raise _edited(path)
    return tensors, _decoded(path, header)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header alone, checked, without reading the tensors.

    Raises:
        CheckpointError: as for `read`.
    """
    with _opened(path) as file:
        _, metadata = _read_front(file)
        header, _ = _checked(path, metadata)
    return _decoded(path, header)


def read_layout(path: str | os.PathLike[str]) -> dict[str, tuple[tuple[int, ...], int]]:
    """Shape and bytes of each tensor in the file at `path`, without reading any.

    Raises:
        CheckpointError: as for `read`.
    """
    with _opened(path) as file:
        entries, _ = _read_front(file)
    return {name: (entry.shape, entry.last - entry.first) for name, entry in entries.items()}


def describe(name: str, dtype: str, shape: Iterable[int]) -> bytes:
    """What a digest covers of a tensor besides its bytes; `dtype` is torch's name for it."""
    return f"{name} torch.{dtype} {tuple(shape)}".encode()


def digest_of_header(header: str) -> str:
    """SHA-256 of the header alone, in hexadecimal."""
    return hashlib.sha256(header.encode()).hexdigest()


class _Damage(Exception):
    """The file breaks the safetensors format; the text says how."""


def _read_front(file: BufferedReader) -> tuple[dict[str, _Entry], dict[str, str]]:
    """The tensors' places and the metadata; the file is then at the first tensor."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST):
        raise _Damage("its front is incomplete")
    tensors = decode_mapping(file.read(length))
    metadata = tensors.pop("__metadata__", {})
    if not _are_texts(metadata):
        raise _Damage("its metadata are not texts")
    entries = {name: _entry(name, given) for name, given in tensors.items()}
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.first, entry.last)):
        if entry.first != end:
            raise _Damage("its tensors are not side by side")
        end = entry.last
    if end != size - 8 - length:
        raise _Damage(f"it should have {end + 8 + length} bytes and has {size}")
    return entries, metadata


def _are_texts(metadata: Any) -> bool:
    if not isinstance(metadata, dict):
        return False
    return all(isinstance(each, str) for each in cast(dict[str, Any], metadata).values())


def _entry(name: str, given: Any) -> _Entry:
    if not isinstance(given, dict) or given.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Damage(f"tensor {name!r} is not described by its dtype, shape and offsets")
    described = cast(dict[str, Any], given)
    shape, offsets = _sizes(name, described["shape"]), _sizes(name, described["data_offsets"])
    kind = described["dtype"]
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None or len(offsets) != 2:
        raise _Damage(f"the type of tensor {name!r} is unknown")
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.size:
        raise _Damage(f"tensor {name!r} does not have as many bytes as its shape needs")
    return _Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _sizes(name: str, given: Any) -> list[int]:
    if isinstance(given, list):
        numbers = cast(list[Any], given)
        whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        if whole and len(numbers) <= _MOST_AXES:
            return numbers
    raise _Damage(f"sizes of tensor {name!r} are not whole numbers")


def _read_piece_by_piece(file: BufferedReader, count: int, hashed: Any) -> np.ndarray:
    content = empty_bytes(count)
    view = content.data
    for first in range(0, count, _PIECE):
        piece = view[first : first + _PIECE]
        if file.readinto(piece) != len(piece):
            raise _Damage("it ended while it was read")
        hashed.update(piece)
    return content


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[BufferedReader]:
    """The file at `path`; whatever its content makes fail in the block says that it is damaged."""
    try:
        file = open_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        try:
            yield file
        except CheckpointError:
            raise
        except Exception as error:
            raise _damaged(path, error) from error


def _decoded(path: str | os.PathLike[str], header: str) -> dict[str, Any]:
    try:
        return decode_mapping(header)
    except ValueError as error:
        raise CheckpointError(
            f"`path`={str(path)!r} is damaged: its header is not one of ours ({error}); use an "
            "unchanged copy"
        ) from error


def _checked(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> tuple[str, str]:
    """The header, which its own digest confirms, and the digest of the whole file."""
    if not {FORMAT_KEY, HEADER_KEY, HEADER_DIGEST_KEY, DIGEST_KEY} <= set(metadata):
        raise CheckpointError(
            f"`path`={str(path)!r} is a safetensors file, but openwork did not write it; build "
            "the model and load it with openwork.load_weights_ (--model and --weights on the "
            "command line)"
        )
    if metadata[FORMAT_KEY] != FORMAT:
        raise CheckpointError(
            f"`path`={str(path)!r} has format {metadata[FORMAT_KEY]!r}, but this version of "
            f"openwork reads format {FORMAT!r}; use the version that wrote it"
        )
    if digest_of_header(metadata[HEADER_KEY]) != metadata[HEADER_DIGEST_KEY]:
        raise _edited(path)
    return metadata[HEADER_KEY], metadata[DIGEST_KEY]


def _edited(path: str | os.PathLike[str]) -> CheckpointError:
    return CheckpointError(
        f"`path`={str(path)!r} has been changed since openwork wrote it: its digest does not "
        "match. Use an unchanged copy"
    )


def _damaged(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    with contextlib.suppress(OSError):
        if (kind := kind_of_file(path)) is not None:
            return CheckpointError(not_ours(path, kind))
    return CheckpointError(
        f"`path`={str(path)!r} is truncated or not a safetensors file ({error}); use a complete "
        "copy"
    )
