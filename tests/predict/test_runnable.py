"""Every kind of file becomes one that runs without torch, and nothing stays behind."""

from pathlib import Path

import pytest

import openwork as ow
from openwork import runtime
from openwork.errors import CheckpointError
from openwork.predict.runnable import runnable
from openwork.runtime.packed.opened import is_packed


def test_a_file_is_packed_for_several_processes_only(network: Path, tmp_path: Path) -> None:
    with runnable(network, 1) as path:
        assert path == network
    with runnable(network, 2) as path:
        assert is_packed(path)
        assert runtime.load(path).metrics["classes"] == ["red", "green", "blue"]
    assert not path.exists()
    packed = tmp_path / "fast.ow"
    runtime.pack(network, packed)
    with runnable(packed, 2) as path:
        assert path == packed


def test_an_onnx_file_is_compiled(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    import torch

    path = tmp_path / "model.onnx"
    ow.export_onnx(torch.nn.Conv2d(3, 4, 3).eval(), torch.randn(1, 3, 8, 8), path)
    with runnable(path, 1) as compiled:
        assert list(runtime.load(compiled).shapes.values()) == [(3, 8, 8)]


def test_a_missing_file_is_refused() -> None:
    with (
        pytest.raises(CheckpointError, match=r"'none\.ow' is not a file"),
        runnable("none.ow", 1),
    ):
        pass
