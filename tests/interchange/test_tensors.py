"""Weights are read as they are, and never beyond what the files hold or outside their folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from openwork.errors import CheckpointError
from openwork.interchange.tensors import Weights


def _external(location: str, shape: list[int], **place: int) -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **place}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u1", "i2", "i4", "i8", "?"])
def test_raw_data(dtype: str) -> None:
    array = np.array([[0, 1, 3], [5, 0, 7]]).astype(dtype)
    found = Weights(None, 100).read(numpy_helper.from_array(array, "w"))
    assert np.array_equal(found.numpy(), array)
    assert found.numpy().dtype == array.dtype


@pytest.mark.parametrize(
    "kind",
    ["FLOAT", "DOUBLE", "INT64", "INT32", "UINT8", "BOOL", "FLOAT16", "BFLOAT16"],
)
def test_numbers_one_by_one(kind: str) -> None:
    tensor = helper.make_tensor("w", TensorProto.DataType.Value(kind), [2, 2], [0, 1, 1, 0])
    assert not tensor.HasField("raw_data")
    found = Weights(None, 100).read(tensor)
    assert found.double().tolist() == [[0, 1], [1, 0]]


def test_bfloat16_bits() -> None:
    raw = np.array([0x3F80, 0xC000], np.uint16).tobytes()
    tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=raw)
    found = Weights(None, 100).read(tensor)
    assert found.dtype == torch.bfloat16
    assert found.tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [2, 2]}, "must have 16 bytes, but has 12"),
        ({"dims": [1 << 40, 1 << 40]}, "must have .* bytes, but has 12"),
        ({"dims": [-1, 3]}, "which no tensor has"),
        ({"dims": [1] * 17}, "which no tensor has"),
        ({"data_type": TensorProto.STRING}, "of type STRING, which openwork does not read"),
        ({"data_type": 999}, "of type 999"),
    ],
)
def test_malformed_tensors(change: dict[str, Any], message: str) -> None:
    fields = {"data_type": TensorProto.FLOAT, "dims": [3], "raw_data": bytes(12)} | change
    with pytest.raises(CheckpointError, match=message):
        Weights(None, 100).read(TensorProto(name="w", **fields))


def test_too_few_numbers() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40], float_data=[1, 2])
    with pytest.raises(CheckpointError, match="but has 2"):
        Weights(None, 100).read(tensor)


def test_external_data(tmp_path: Path) -> None:
    np.arange(10, dtype=np.float32).tofile(tmp_path / "w.bin")
    found = Weights(tmp_path, 10).read(_external("w.bin", [3], offset=8, length=12))
    assert found.tolist() == [2, 3, 4]
    with pytest.raises(CheckpointError, match=r"beyond the end of 'w.bin'"):
        Weights(tmp_path, 10).read(_external("w.bin", [3], offset=32))
    with pytest.raises(CheckpointError, match="must have 12 bytes, but names 13"):
        Weights(tmp_path, 10).read(_external("w.bin", [3], length=13))
    with pytest.raises(CheckpointError, match="cannot be read"):
        Weights(tmp_path, 10).read(_external("missing.bin", [3]))
    with pytest.raises(CheckpointError, match="pass the path of the model"):
        Weights(None, 10).read(_external("w.bin", [3]))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "", "link/w.bin", "a\0b", "."])
def test_external_data_stays_in_the_folder(tmp_path: Path, location: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(12))
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match=r"in the folder of the model|not a path"):
        Weights(inside, 10).read(_external(location, [3]))


def test_one_region_read_many_times(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(4 << 20))
    weights = Weights(tmp_path, 10)
    tensor = _external("w.bin", [1 << 20])
    weights.read(tensor)
    weights.read(tensor)
    with pytest.raises(CheckpointError, match="more than the files hold"):
        weights.read(tensor)
