"""The bytes of a packed file."""

import struct

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.runtime.packed.layout import MAGIC, PackedFile, PackedSlot, PackedStep


def test_the_head_says_size_checksum_and_where_arrays_begin() -> None:
    array = np.array([1.5, 2.5], np.float32)
    steps = [PackedStep("map", "abs", (0, 1), (array,)), PackedStep("map", "abs", (0, 1), (array,))]
    slots = [PackedSlot(1, 0, 0, 2), PackedSlot(2, 0, 0, 2)]
    tensors = [("x", (2,))]
    content = PackedFile("neon", tensors, tensors, (1, 2), slots, steps, "{}").to_bytes()
    content = content.tobytes()
    assert content[:16] == MAGIC
    form, zero, size, checksum, end = struct.unpack("<IIQQQ", content[16:48])
    assert (form, zero, size) == (1, 0, len(content))
    assert checksum == _C.checksum(np.frombuffer(content[40:], np.uint8))
    # One copy of an array that two steps name, on the first line behind the front.
    first = -(-end // 64) * 64
    assert content[first:] == array.tobytes()
    assert content[:end].count(struct.pack("<BQQ", 0, first, 2)) == 2


def test_the_checksum_is_that_of_xxhash() -> None:
    # The vectors of xxHash's own specification.
    assert _C.checksum(np.zeros(0, np.uint8)) == 0xEF46DB3751D8E999
    assert _C.checksum(np.frombuffer(b"a", np.uint8)) == 0xD24EC4F1A98C6E5B
    assert _C.checksum(np.frombuffer(b"abc", np.uint8)) == 0x44BC2CF5AD770999
