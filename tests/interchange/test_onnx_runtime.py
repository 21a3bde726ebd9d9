"""ONNX Runtime as a module."""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_models import onnx_model, serialised

from openwork.interchange.onnx_runtime import OnnxRuntime


def test_runs_a_model() -> None:
    model = OnnxRuntime(serialised(onnx_model([helper.make_node("Neg", ["x"], ["y"])])))
    x = torch.randn(2, 8, 8, 3).permute(0, 3, 1, 2)
    (found,) = model(x)
    assert torch.equal(found, -x)


def test_a_model_runs_as_it_is_written() -> None:
    # Joined kernels of int8 may saturate in between; what the file says does not.
    channels, exact = 64, 255.0 * 127 * 64
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["float_x"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "weight_zero"], ["float_w"]),
        helper.make_node("Conv", ["float_x", "float_w"], ["y"]),
    ]
    arrays = {
        "w": np.full((1, channels, 1, 1), 127, np.int8),
        "scale": np.float32(1),
        "zero": np.uint8(0),
        "weight_zero": np.int8(0),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, channels, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    model = OnnxRuntime(proto.SerializeToString(), as_written=True)
    (found,) = model(torch.full((1, channels, 2, 2), 255, dtype=torch.uint8))
    assert (found == exact).all()
