"""Convolutions: their sizes, and their weights as a file holds them."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from openwork.patterns import Pattern
from openwork.runtime.decode import Decoder
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import check_node, decode_node, encode_node
from openwork.runtime.nodes import Conv
from openwork.runtime.nodes.conv import live_positions
from openwork.runtime.values import Value


@pytest.fixture
def conv() -> Conv:
    x, y = Value((4, 6, 5), "x"), Value((2, 6, 5), "y")
    window = (1, 1), (1, 1), (1, 1)
    positions, weight = np.array([0, 7, 20]), np.array([1, 2, 3], np.float32)
    bias = np.zeros(2, np.float32)
    return Conv([x], y, "layer", (6, 5), (2, 4, 3, 3), *window, 1, positions, weight, bias)


def test_it_comes_back_from_a_file(conv: Conv) -> None:
    check_node(conv)
    encoder = Encoder()
    encoded = encode_node(conv, encoder)
    assert encoded["kind"] == "Conv"
    loaded = decode_node(encoded, Decoder(encoder.tensors, encoder.values))
    assert isinstance(loaded, Conv)
    assert np.array_equal(loaded.positions, conv.positions)
    assert np.array_equal(loaded.dense_weight(), conv.dense_weight())
    assert loaded.step == ("layer", "conv")


def test_a_dense_weight_comes_back_as_it_is(conv: Conv) -> None:
    dense = dataclasses.replace(conv, positions=conv.positions[:0], weight=conv.dense_weight())
    check_node(dense)
    encoder = Encoder()
    encoded = encode_node(dense, encoder)
    assert encoded["positions"] is None
    loaded = decode_node(encoded, Decoder(encoder.tensors, encoder.values))
    assert isinstance(loaded, Conv)
    assert loaded.is_dense
    live = loaded.with_live_weights()
    assert not live.is_dense
    assert np.array_equal(live.dense_weight(), conv.dense_weight())


def test_live_taps_are_whole_kernels_unless_many_are_dead() -> None:
    weight = np.zeros((1, 3, 2, 2), np.float32)
    weight[0, 0] = [[1, 2], [3, 0]]
    assert live_positions(weight).tolist() == [0, 1, 2, 3]
    weight[0, 2, 1, 1] = 1
    assert live_positions(weight).tolist() == [0, 1, 2, 11]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"stride": (0, 1)}, "sizes must be at least 1"),
        ({"padding": (-1, 1)}, "sizes must be at least 1"),
        ({"dilation": (1 << 31, 1)}, "sizes must be at most"),
        ({"groups": 3}, "3 groups must divide 2 filters"),
        ({"shape": (2, 4, 9, 3)}, "the kernel must fit into the padded map"),
        ({"size": (6, 6)}, "the input must have 144 numbers"),
        ({"padding": (0, 0)}, "'y' must have 24 numbers"),
        ({"linear": True}, "a linear layer must have sizes of 1"),
        ({"weight": np.zeros(3)}, "the weight must be float32"),
        ({"weight": np.zeros(2, np.float32)}, "3 live taps must have a weight each"),
        ({"weight": np.zeros((2, 4, 3, 1), np.float32)}, "the weight must be of shape"),
        ({"bias": np.zeros(3, np.float32)}, "the bias must be float32 of shape"),
        ({"inputs": []}, "must have 1 or 2 inputs, not 0"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(conv: Conv, changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(MalformedFile, match=f"Conv 'y': .*{rule}"):
        check_node(dataclasses.replace(conv, **changed))


def test_a_pattern_of_another_shape_is_refused(conv: Conv) -> None:
    other = Pattern(np.ones((2, 4, 3, 1), bool))
    with pytest.raises(MalformedFile, match="a layer's pattern must be of its shape and groups"):
        Conv.from_fields(conv.fields() | {"positions": other})


def test_a_residual_may_be_overwritten_but_not_the_map(conv: Conv) -> None:
    residual = Value((2, 6, 5), "r")
    assert conv.overwritable() == []
    (x,) = conv.inputs
    assert dataclasses.replace(conv, inputs=[x, residual]).overwritable() == [residual]
    assert dataclasses.replace(conv, inputs=[x, x]).overwritable() == []
