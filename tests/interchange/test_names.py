"""Modules are called what they were called where the file says it."""

import pytest

from openwork.interchange.names import identifier, module_name


@pytest.mark.parametrize(
    ("node", "weight", "expected"),
    [
        ("node_conv2d", "layer1.0.conv1.weight", "layer1.0.conv1"),
        ("/layer1/layer1.0/conv1/Conv", "onnx::Conv_12", "layer1.0.conv1"),
        ("/conv1/Conv", "", "conv1"),
        ("p2o.Conv.3", "conv2d_4.w_0", "conv2d_4"),
        ("", "", "Conv"),
        ("", "a b.weight", "Conv"),
        ("import", "class.weight", "_import"),
        ('x"); evil("', "", "x_evil"),
        ("Conv_3", "0.weight", "0"),
    ],
)
def test_module_names(node: str, weight: str, expected: str) -> None:
    assert module_name("Conv", node, weight) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a.b", "a_b"), ("3x", "_3x"), ("", "value"), ("ä", "value")]
)
def test_identifiers(text: str, expected: str) -> None:
    assert identifier(text) == expected
    assert identifier(text).isidentifier()
