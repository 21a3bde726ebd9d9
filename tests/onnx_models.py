"""Small ONNX models, built by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def onnx_model(
    nodes: Sequence[Any],
    weights: Mapping[str, np.ndarray] | None = None,
    shape: Sequence[int | str] = ("n", 3, 8, 8),
    output: str = "y",
    opset: int = 18,
) -> Any:
    """A model of one input `x` and one output of any shape."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def convolution(seed: int = 0) -> Any:
    """A convolution of 3 to 4 channels, and a ReLU."""
    draw = np.random.default_rng(seed)
    weights = {
        "stem.conv.weight": draw.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "stem.conv.bias": draw.normal(size=4).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", *weights], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["y"], "second"),
    ]
    return onnx_model(nodes, weights)


def serialised(model: Any) -> bytes:
    """The bytes of a model."""
    assert isinstance(model, onnx.ModelProto)
    return model.SerializeToString()
