"""Files of other programs are named, with a way out."""

from pathlib import Path

import pytest
import torch

import openwork as ow

_ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10"


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (_ONNX, "is an ONNX model, .*in PyTorch"),
        (b"\x89HDF\r\n\x1a\n123456", "is an HDF5 file"),
        (b"GGUF\x03\x00\x00\x00", "is a GGUF file"),
        (b"\x80\x04\x95abc", "is a Python pickle, .*load_weights_"),
        (b"\x1c\x00\x00\x00TFL3abc", "is a TensorFlow Lite model"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer.*git lfs pull"),
        (b"\x93NUMPY\x01\x00", "is a numpy array"),
        (b"", "is empty"),
        (b"PK\x03\x04nothing", "is a truncated zip archive"),
        (b"openwork packed\nabc", "is a packed network; openwork.runtime.load runs it"),
        (b"just some words", "truncated or not a safetensors file"),
    ],
)
def test_load_says_what_a_file_is(tmp_path: Path, front: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(front)
    with pytest.raises(ow.CheckpointError, match=message):
        ow.load(tmp_path / "x")


def test_a_torch_file_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(ow.CheckpointError, match=r"is a file of torch.save, .*load_weights_"):
        ow.load(tmp_path / "x.pt")
    with pytest.raises(ow.CheckpointError, match="it is a folder, not a file"):
        ow.load(tmp_path)


def test_code_is_known(tmp_path: Path) -> None:
    code = tmp_path / "net.py"
    code.write_text("def build():\n\tpass\n")
    with pytest.raises(ow.CheckpointError, match=r"Python code, .*--model net\.py:build"):
        ow.load(code)
