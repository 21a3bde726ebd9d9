"""How a packed file is laid out, and writing one. `csrc/packed` reads it.

All numbers are little-endian; a text is its length (4 bytes) and as many bytes of UTF-8; a list is
its length (4 bytes) and its items.

1. 48 bytes    "openwork packed" and a newline; format and 0, 4 bytes each; then 8 bytes each: the
               file's bytes, XXH64 of all from byte 40 on, and where the front ends
2. the front   instruction set and version of openwork, texts
               inputs and outputs, two lists: name; axes (1 byte) and their sizes (8 bytes each)
               least and largest batch, 8 bytes each
               slots, a list: kind (1 byte: 0 arena, 1 input, 2 output, 3 part of another); offset
               in the arena, number of the input or output, or slot; first float of a part; floats;
               8 bytes each
               steps, a list: name and a second word (activation, function or operation), texts;
               whole numbers, a list of 8 bytes each; arrays, a list: type (1 byte: 0 float32,
               1 int32, 2 int64, 3 uint16, 4 int8), first byte in the file, numbers
               notes for `runtime.load`, JSON as text
3. the arrays  each from a multiple of 64 on

A layer's step is called "layer" and its kernel, with the slots of input, output and residual (-1
for none), the geometry and the kernel's sizes as numbers; a layer of bytes is a "byte_layer". The
arrays of kernels are those that `kernels/pack_*.py` number and, of bytes, that
csrc/packed/make_byte_layer.cpp takes. A change of one of them, or of this layout, raises the format
here and in csrc/packed/read_program.cpp.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openwork._foreign import PACKED_MAGIC as MAGIC
from openwork._version import __version__
from openwork.kernels.native import extension as _C
from openwork.runtime.memory import empty_bytes

_FORMAT = 1
_FRONT = 48
_LINE = 64
_TYPES = {"float32": 0, "int32": 1, "int64": 2, "uint16": 3, "int8": 4}


@dataclass(frozen=True)
class PackedSlot:
    """Where a tensor lies.

    Attributes:
        kind: 0 arena, 1 input, 2 output, 3 part of another slot.
        at: offset in the arena, number of the input or output, or slot.
        first: float of each image at which a part begins.
        floats: of one image.
    """

    kind: int
    at: int
    first: int
    floats: int


@dataclass(frozen=True, eq=False)
class PackedStep:
    """One step of a program.

    Attributes:
        name: what it is.
        word: activation, function or operation, or empty.
        numbers: slots and sizes.
        arrays: flat float32, int32, int64, uint16 or int8.
    """

    name: str
    word: str
    numbers: tuple[int, ...]
    arrays: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class PackedFile:
    """What a packed file holds.

    Attributes:
        isa: instruction set.
        inputs, outputs: name and shape of one image of each.
        batches: least and largest.
        slots, steps: the program.
        notes: JSON.
    """

    isa: str
    inputs: Sequence[tuple[str, tuple[int, ...]]]
    outputs: Sequence[tuple[str, tuple[int, ...]]]
    batches: tuple[int, int]
    slots: Sequence[PackedSlot]
    steps: Sequence[PackedStep]
    notes: str

    def to_bytes(self) -> np.ndarray:
        """The file's bytes: `(bytes,)` uint8."""
        end = _FRONT + len(self._front({}))
        places: dict[int, int] = {}
        size = end
        for array in self._arrays():
            if id(array) not in places:
                places[id(array)] = size = -(-size // _LINE) * _LINE
                size += array.nbytes
        content = empty_bytes(size)
        content[:] = 0
        for array in self._arrays():
            first = places[id(array)]
            content[first : first + array.nbytes] = np.ascontiguousarray(array).view(np.uint8)
        content[_FRONT:end] = np.frombuffer(self._front(places), np.uint8)
        content[40:_FRONT] = np.frombuffer(struct.pack("<Q", end), np.uint8)
        head = MAGIC + struct.pack("<IIQQ", _FORMAT, 0, size, _C.checksum(content[40:]))
        content[:40] = np.frombuffer(head, np.uint8)
        return content

    def _arrays(self) -> list[np.ndarray]:
        return [array for step in self.steps for array in step.arrays]

    def _front(self, places: dict[int, int]) -> bytes:
        """The front; `places` says where each array begins."""
        parts = [_text(self.isa), _text(__version__)]
        for tensors in (self.inputs, self.outputs):
            parts.append(_count(tensors))
            parts += [_text(name) + _shape(shape) for name, shape in tensors]
        parts += [struct.pack("<2q", *self.batches), _count(self.slots)]
        parts += [struct.pack("<B3q", s.kind, s.at, s.first, s.floats) for s in self.slots]
        parts.append(_count(self.steps))
        for step in self.steps:
            numbers = struct.pack(f"<{len(step.numbers)}q", *step.numbers)
            parts += [_text(step.name), _text(step.word), _count(step.numbers), numbers]
            parts.append(_count(step.arrays))
            for each in step.arrays:
                place = places.get(id(each), 0)
                parts.append(struct.pack("<BQQ", _TYPES[each.dtype.name], place, each.size))
        return b"".join([*parts, _text(self.notes)])


def _count(items: Sequence[object]) -> bytes:
    return struct.pack("<I", len(items))


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<I", len(content)) + content


def _shape(shape: Sequence[int]) -> bytes:
    return struct.pack(f"<B{len(shape)}q", len(shape), *shape)
