"""Quantised models of ONNX Runtime are read with their int8 weights, and give its numbers."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from residual import residual
from torch import nn

import openwork as ow
from openwork.interchange.onnx_runtime import OnnxRuntime


class _Images(CalibrationDataReader):
    def __init__(self, images: torch.Tensor) -> None:
        self._batches: Iterator[Any] = iter([{"x": each.numpy()} for each in images.split(16)])

    def get_next(self) -> Any:
        return next(self._batches, None)


def _quantised(model: nn.Module, images: torch.Tensor, folder: Path, per_channel: bool) -> str:
    """The path of a model that ONNX Runtime quantised."""
    before, after = str(folder / "before.onnx"), str(folder / "after.onnx")
    ow.export_onnx(model, images[:2], before)
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    quantize_static(
        before, after, _Images(images), per_channel=per_channel, quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    logging.root.setLevel(level)
    return after


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_model_that_onnx_runtime_quantised(per_channel: bool, tmp_path: Path) -> None:
    model, images = residual()
    path = _quantised(model, images, tmp_path, per_channel)
    network = ow.from_onnx(path)
    weights = [each for each in network.buffers() if each.dtype == torch.int8]
    assert sorted(tuple(each.shape) for each in weights) == [
        (10, 16),
        (16, 3, 3, 3),
        (16, 16, 3, 3),
    ]
    (expected,) = OnnxRuntime(Path(path).read_bytes(), as_written=True)(images)
    expected = expected.numpy()
    with torch.no_grad():
        found = network(images).numpy()
    # Its last step, of which each number may be off by one where sums end between two steps.
    proto = onnx.load(path)
    held = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    step = float(held["output_scale"])
    assert np.abs(found - expected).max() <= step * 1.01
    assert (np.abs(found - expected) > step / 2).mean() < 0.05
    # What it gives is not what the network in float32 gives.
    assert np.abs(found - model(images).detach().numpy()).max() > step / 2


def _one(operator: str, arrays: dict[str, Any], **attributes: Any) -> Any:
    """What a model of one operator on `x` gives; the other arrays lie in the file."""
    x, *others = arrays
    node = helper.make_node(operator, list(arrays), ["y"], **attributes)
    value = helper.np_dtype_to_tensor_dtype(arrays[x].dtype)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(x, value, arrays[x].shape)],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(arrays[name], name) for name in others],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    with torch.no_grad():
        return ow.from_onnx(model.SerializeToString())(torch.from_numpy(arrays[x])).numpy()


def test_numbers_of_each_operator() -> None:
    x = np.array([[0.5, 1.5, 300.0], [-0.5, -300.0, 2.4]], np.float32)
    scale = np.array(1, np.float32)
    found = _one("QuantizeLinear", {"x": x, "s": scale, "z": np.array(10, np.uint8)})
    assert found.tolist() == [[10, 12, 255], [10, 0, 12]]
    assert found.dtype == np.uint8
    channels = {"s": np.array([1, 2], np.float32), "z": np.array([0, -1], np.int8)}
    found = _one("QuantizeLinear", {"x": x, **channels}, axis=0)
    assert found.tolist() == [[0, 2, 127], [-1, -128, 0]]
    back = _one("DequantizeLinear", {"x": found, **channels}, axis=0)
    assert back.tolist() == [[0, 2, 127], [0, -254, 2]]
    assert _one("QuantizeLinear", {"x": x, "s": scale}).dtype == np.uint8


def test_a_bias_of_32_bits_becomes_float32_and_blocks_are_refused() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["b", "s"], ["c"], axis=0),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [
            numpy_helper.from_array(np.array([7, -9], np.int32), "b"),
            numpy_helper.from_array(np.array([0.5, 2], np.float32), "s"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    network = ow.from_onnx(model.SerializeToString())
    assert network(torch.zeros(1, 2)).tolist() == [[3.5, -18]]
    with pytest.raises(ow.CheckpointError, match="one for all or one for each channel"):
        _one(
            "DequantizeLinear",
            {"x": np.zeros((2, 4), np.int8), "s": np.ones((2, 2), np.float32)},
            block_size=2,
        )


@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
def test_matrices_of_8_bits(operator: str) -> None:
    weight, scale = np.array([[1, -2], [3, 4], [5, 6]], np.int8), np.array([0.5, 2], np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["v"], axis=1),
        helper.make_node(operator, ["x", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(scale, "s")],
    )
    network = ow.from_onnx(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    )
    assert network(torch.tensor([[1.0, 1, 1], [0, 0, 1]])).tolist() == [[4.5, 16], [2.5, 12]]
    assert next(each for each in network.buffers() if each.dtype == torch.int8).shape == (3, 2)
