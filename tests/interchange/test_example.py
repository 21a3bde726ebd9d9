"""Inputs as the file states them, in each input_form."""

import pytest
import torch
from onnx import helper
from onnx_models import onnx_model, serialised
from torch import nn

import openwork as ow
from openwork.interchange.example import example_of


def _only(network: nn.Module, batch: int | None = None, side: int | None = None) -> torch.Tensor:
    inputs = example_of(network, batch, side)
    assert inputs is not None
    assert len(inputs) == 1
    return inputs[0]


def _network(*shape: int | str) -> nn.Module:
    return ow.from_onnx(serialised(onnx_model([helper.make_node("Relu", ["x"], ["y"])], {}, shape)))


def test_shapes_of_the_file() -> None:
    images = _only(_network("n", 3, 8, 9))
    assert images.shape == (1, 3, 8, 9)
    images = _only(_network(4, 3, 8, 9))
    assert (images.shape, images.dtype) == ((4, 3, 8, 9), torch.float32)
    images = _only(_network("n", 3, "h", 9), batch=2, side=7)
    assert images.shape == (2, 3, 7, 9)


def test_what_is_not_stated() -> None:
    with pytest.raises(ow.ArgumentError, match=r"'x' has the shape \('\?', 3, '\?', '\?'\)"):
        example_of(_network("n", 3, "h", "w"))
    with pytest.raises(ow.ArgumentError, match="`batch`=0"):
        example_of(_network("n", 3, 8, 8), batch=0)
    assert example_of(nn.ReLU()) is None
