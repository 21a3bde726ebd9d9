"""Files are read by numpy alone: types, damage of every kind."""

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import openwork as ow
from openwork.errors import CheckpointError
from openwork.io import container as written
from openwork.runtime import container
from openwork.runtime import load as runtime_load

TENSORS = {
    name: torch.arange(6).reshape(2, 3).to(dtype)
    for name, dtype in (
        *(("a", torch.float64), ("b", torch.float32), ("c", torch.float16), ("d", torch.int64)),
        *(("e", torch.int32), ("f", torch.int16), ("g", torch.int8), ("h", torch.uint8)),
        *(("i", torch.bool), ("j", torch.complex64)),
    )
} | {"none": torch.zeros(0, 3), "one": torch.tensor(2.5)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written.write(tmp_path / "file", TENSORS, {"key": [1, None]})
    return tmp_path / "file"


def test_arrays_are_what_the_tensors_were(file: Path) -> None:
    tensors, header = container.read(file)
    assert header == container.read_header(file) == {"key": [1, None]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        array = tensors[name].array()
        assert array.dtype == tensor.numpy().dtype
        assert np.array_equal(array, tensor.numpy())
        assert array.flags.writeable


def test_every_type_that_safetensors_writes_is_known(tmp_path: Path) -> None:
    for name, dtype in container.DTYPES.items():
        tensor = torch.zeros(8, dtype=torch.uint8).view(getattr(torch, dtype.torch))[:0]
        assert tensor.element_size() == dtype.size
        try:
            save_file({"x": tensor}, tmp_path / "file")
        except (SafetensorError, KeyError, ValueError):
            # This version of safetensors or torch lacks it.
            continue
        assert json.loads((tmp_path / "file").read_bytes()[8:])["x"]["dtype"] == name


def test_types_that_numpy_lacks_are_refused_when_they_are_asked_for(tmp_path: Path) -> None:
    written.write(tmp_path / "file", {"x": torch.ones(2, dtype=torch.bfloat16)}, {})
    stored = container.read(tmp_path / "file")[0]["x"]
    assert stored.bytes.size == 4
    with pytest.raises(CheckpointError, match="bfloat16 cannot be read without torch; use `openw"):
        stored.array()


X = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("front", "content"),
    [
        ([], b""),
        ({"x": 1}, b""),
        ({"x": X}, bytes(9)),
        ({"x": X}, bytes(7)),
        ({"x": X | {"dtype": "F33"}}, bytes(8)),
        ({"x": X | {"dtype": ["F32"]}}, bytes(8)),
        ({"x": X | {"shape": [3]}}, bytes(8)),
        ({"x": X | {"shape": [True, 2]}}, bytes(8)),
        ({"x": X | {"shape": [-2]}}, bytes(8)),
        ({"x": X | {"shape": [1 << 40, 1 << 40]}}, bytes(8)),
        ({"x": X | {"shape": 2}}, bytes(8)),
        ({"x": X | {"data_offsets": [0, 8, 8]}}, bytes(8)),
        ({"x": X | {"data_offsets": [8, 0]}}, bytes(8)),
        ({"x": X | {"data_offsets": [4, 12]}}, bytes(12)),
        ({"x": X, "y": X}, bytes(8)),
        ({"x": X, "y": X | {"data_offsets": [4, 12]}}, bytes(12)),
        ({"x": X, "y": X | {"data_offsets": [9, 17]}}, bytes(17)),
        ({"x": X, "__metadata__": {"a": 1}}, bytes(8)),
        ({"x": X, "__metadata__": []}, bytes(8)),
    ],
    ids=str,
)
def test_what_safetensors_does_not_write_is_refused(
    front: Any, content: bytes, tmp_path: Path
) -> None:
    text = json.dumps(front).encode()
    for length in (len(text), 1 << 40):
        (tmp_path / "file").write_bytes(struct.pack("<Q", length) + text + content)
        for read in (container.read, container.read_header):
            with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
                read(tmp_path / "file")


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    text = b"[" * 1_000_000
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        container.read(tmp_path / "file")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "\ufeff{}", "[]", "3", "null", "[" * 100_000, '{"x": ' + "1" * 5000 + "}"),
        *('{"x":' * 200 + "1" + "}" * 200, "{} {}", "\0"),
    ],
    ids=lambda text: text[:8],
)
def test_a_header_with_the_right_digests_is_refused_if_it_is_not_ours(
    tmp_path: Path, text: str
) -> None:
    tensors = {"a": torch.zeros(2)}
    digest = hashlib.sha256(text.encode())
    digest.update(container.describe("a", "float32", (2,)) + bytes(8))
    metadata = {
        container.FORMAT_KEY: container.FORMAT,
        container.HEADER_KEY: text,
        container.HEADER_DIGEST_KEY: container.digest_of_header(text),
        container.DIGEST_KEY: digest.hexdigest(),
    }
    save_file(tensors, tmp_path / "file", metadata)
    for read in (container.read, container.read_header, ow.load, ow.info, runtime_load):
        with pytest.raises(CheckpointError, match=r"file' is damaged: its header is not"):
            read(tmp_path / "file")


@pytest.mark.parametrize(
    "front",
    [
        '{"__metadata__": {"openwork.format": "\\ud800"}}',
        '{"\\ud800": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "U8", "shape": [' + "9" * 900 + '], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "U8", "shape": [' + "1, " * 100 + '0], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0], "x": ' + "[" * 5000 + "}}",
        '{"a": {"dtype": [], "shape": [0], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "U8", "shape": [true], "data_offsets": [0, 1]}}',
        '{"__metadata__": []}',
    ],
    ids=lambda text: text[:12],
)
def test_a_front_that_nobody_writes_is_refused(tmp_path: Path, front: str) -> None:
    content = struct.pack("<Q", len(front)) + front.encode()
    (tmp_path / "file").write_bytes(content)
    for read in (container.read, container.read_header):
        with pytest.raises(CheckpointError, match=r"file' is"):
            read(tmp_path / "file")


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", "a\0b", "/" + "a" * 5000, "\ud800"):
        for read in (container.read, container.read_header):
            with pytest.raises(CheckpointError, match="is not a file that can be read"):
                read(path)
