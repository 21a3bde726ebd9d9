"""Weights in int8 by hand, and the QDQ operators around layers."""

import pytest
import torch
from residual import residual

from openwork._call import call_of
from openwork.capture import capture
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE
from openwork.quantize.emit import emit, quantized_weight
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.layer import NetLayer
from openwork.quantize.net import net_of
from openwork.quantize.scheme import scheme_of


def _layer(weight: torch.Tensor, bias: torch.Tensor | None) -> NetLayer:
    return NetLayer("a", None, None, weight, bias)  # type: ignore[arg-type]


def test_weights_are_rounded_by_channel_and_zeros_stay() -> None:
    weight = torch.tensor([[127.0, -63.5, 0, 0.4], [0.0, 0, 0, 0], [-12.7, 0.05, 0, 0.06]])
    found, scales = quantized_weight(_layer(weight, None), 0.1)
    assert found.tolist() == [[127, -64, 0, 0], [0, 0, 0, 0], [-127, 0, 0, 1]]
    assert scales.tolist() == pytest.approx([1, 1e-12, 0.1])


def test_scales_leave_room_for_the_bias_in_int32() -> None:
    bias = torch.tensor([1000.0])
    found, scales = quantized_weight(_layer(torch.tensor([[1e-9, 0]]), bias), 0.5)
    assert float(bias / (scales * 0.5)) <= 2**30 * (1 + 1e-6)
    assert found.tolist() == [[0, 0]]


def test_each_layer_reads_dequantised_numbers() -> None:
    model, images = residual()
    net = net_of(capture(model, call_of(model, images)))
    fold_batch_norms_(net)
    scheme = scheme_of(net)
    made, origin = emit(net, scheme, dict.fromkeys(scheme.values, (0.05, 100)))
    assert list(origin.values()) == scheme.layers
    for node in origin:
        value, weight = node.args[:2]
        assert value.target is DEQUANTIZE  # type: ignore[union-attr]
        assert weight.target is DEQUANTIZE_CHANNELS  # type: ignore[union-attr]
    pairs = [node for node in made.graph.nodes if node.target is QUANTIZE]
    assert len(pairs) == len(scheme.values)
    assert all(node.args[1:] == (0.05, 100, 0, 255, torch.uint8) for node in pairs)
    assert {str(each.dtype) for each in made.tensors.values()} == {
        "torch.int8",
        "torch.int64",
        "torch.float32",
    }
