"""How many axes values have."""

import numpy as np
from onnx import helper, numpy_helper
from onnx_models import convolution, onnx_model

from openwork.interchange.ranks import ranks


def test_ranks_of_a_model() -> None:
    assert ranks(convolution()) == {"a": 4, "y": 4}


def test_ranks_that_follow_from_sizes_and_large_constants() -> None:
    large = numpy_helper.from_array(np.zeros((64, 10), np.float32))
    nodes = [
        helper.make_node("Reshape", ["x", "sizes"], ["a"]),
        helper.make_node("Constant", [], ["w"], value=large),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("ReduceMean", ["b", "axes"], ["y"], keepdims=0),
    ]
    weights = {"sizes": np.array([-1, 3, 64]), "axes": np.array([1])}
    found = ranks(onnx_model(nodes, weights))
    assert (found["a"], found["b"], found["y"]) == (3, 3, 2)


def test_nothing_of_what_onnx_refuses() -> None:
    assert ranks(onnx_model([helper.make_node("Relu", ["x", "x"], ["y"])])) in ({}, {"y": 4})
