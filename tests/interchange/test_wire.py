"""What would fill the memory is refused before it is read."""

import onnx
import pytest
from onnx_models import convolution, serialised

from openwork.errors import CheckpointError
from openwork.interchange import wire
from openwork.interchange.wire import check_wire

MODEL = onnx.ModelProto.DESCRIPTOR


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + content


def test_models_pass() -> None:
    content = serialised(convolution())
    check_wire(content, MODEL)
    with pytest.raises(CheckpointError, match="truncated, or not an ONNX model"):
        check_wire(content[:-3], MODEL)


@pytest.mark.parametrize("content", [b"\x08", b"\x0b\x00", b"\x08" + b"\xff" * 11, b"\x3a\x05ab"])
def test_malformed_bytes(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="truncated, or not an ONNX model"):
        check_wire(content, MODEL)


def test_many_empty_nodes_of_two_bytes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MOST_FIELDS", 1000)
    graph = _field(1, b"") * 1001
    with pytest.raises(CheckpointError, match="more than 1,000 fields"):
        check_wire(_field(7, graph), MODEL)


def test_graphs_within_graphs() -> None:
    content = b""
    for _ in range(20):
        # A node with an attribute that holds a graph.
        content = _field(1, _field(5, _field(6, content)))
    with pytest.raises(CheckpointError, match="more than 24 levels"):
        check_wire(_field(7, content), MODEL)


def test_numbers_of_one_byte_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MOST_PACKED", 100)
    # int64_data of an initialiser.
    content = _field(7, _field(5, _field(7, b"\x01" * 101)))
    with pytest.raises(CheckpointError, match="101 bytes of numbers outside raw_data"):
        check_wire(content, MODEL)
    # raw_data takes what it says.
    check_wire(_field(7, _field(5, _field(9, b"\x01" * 101))), MODEL)
