"""ONNX Runtime as a module."""

import torch
from onnx import helper
from onnx_models import onnx_model, serialised

from openwork.interchange.onnx_runtime import OnnxRuntime


def test_runs_a_model() -> None:
    model = OnnxRuntime(serialised(onnx_model([helper.make_node("Neg", ["x"], ["y"])])))
    x = torch.randn(2, 8, 8, 3).permute(0, 3, 1, 2)
    (found,) = model(x)
    assert torch.equal(found, -x)
