"""`check_wire`: how much memory a protobuf file takes once it is read, told before it is.

A message of two bytes becomes an object of a hundred or more, and a number of one byte takes eight,
so a small file could fill the memory.
"""

from typing import Any

from openwork.errors import CheckpointError

# Real networks have some hundred thousand fields.
_MOST_FIELDS = 4_000_000
# Numbers stored one by one, in bytes: weights lie in raw_data, which takes what it says.
_MOST_PACKED = 1 << 28
_DEEPEST = 24
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MALFORMED = "it is truncated, or not an ONNX model"


def check_wire(content: bytes, descriptor: Any) -> None:
    """Walk over the fields of `content`, and copy nothing.

    Args:
        content: a serialised message.
        descriptor: of its class.

    Raises:
        CheckpointError: it is malformed, too deep, or would take too much memory.
    """
    fields = packed = 0
    kinds: dict[int, dict[int, Any]] = {}
    waiting = [(0, len(content), descriptor, 0)]
    while waiting:
        place, end, kind, depth = waiting.pop()
        if depth > _DEEPEST:
            raise CheckpointError(f"it is nested more than {_DEEPEST} levels deep")
        known = kinds.setdefault(id(kind), {each.number: each for each in kind.fields})
        while place < end:
            fields += 1
            if fields > _MOST_FIELDS:
                raise CheckpointError(f"it has more than {_MOST_FIELDS:,} fields")
            key, place = _number(content, place, end)
            size, place = _size(content, place, end, key & 7)
            if place + size > end:
                raise CheckpointError(_MALFORMED)
            field = known.get(key >> 3)
            if key & 7 == _BYTES and field is not None:
                if field.message_type is not None:
                    waiting.append((place, place + size, field.message_type, depth + 1))
                elif field.type not in (field.TYPE_BYTES, field.TYPE_STRING):
                    packed += size
            place += size
    if packed > _MOST_PACKED:
        raise CheckpointError(f"it holds {packed:,} bytes of numbers outside raw_data")


def _size(content: bytes, place: int, end: int, wire: int) -> tuple[int, int]:
    """The size of a field's value, and where that begins."""
    if wire == _BYTES:
        return _number(content, place, end)
    if wire == _VARINT:
        return 0, _number(content, place, end)[1]
    if wire in (_EIGHT, _FOUR):
        return (8 if wire == _EIGHT else 4), place
    raise CheckpointError(_MALFORMED)


def _number(content: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of up to ten bytes, and the place after it."""
    value = 0
    for index in range(10):
        if place >= end:
            break
        byte = content[place]
        value |= (byte & 0x7F) << (7 * index)
        place += 1
        if byte < 0x80:
            return value, place
    raise CheckpointError(_MALFORMED)
