"""A malformed model is refused with the reason, whatever is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper
from onnx_models import convolution, onnx_model, serialised

from openwork.errors import CheckpointError
from openwork.interchange.read_model import read_model


def test_what_a_model_states() -> None:
    found = read_model(serialised(convolution()))
    assert found.opset == 18
    assert [(each.name, each.shape) for each in found.inputs.values()] == [("x", (None, 3, 8, 8))]
    assert (found.outputs, list(found.weights)) == (
        ("y",),
        ["stem.conv.weight", "stem.conv.bias"],
    )
    assert found.attributes(found.nodes[0]) == {"pads": [1, 1, 1, 1]}


def test_nodes_are_sorted() -> None:
    model = convolution()
    model.graph.node.reverse()
    assert [each.op_type for each in read_model(serialised(model)).nodes] == ["Conv", "Relu"]


def _duplicate(model: Any) -> None:
    model.graph.node.append(model.graph.node[1])


def _cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "y"


def _missing(model: Any) -> None:
    model.graph.node[1].input[0] = "nothing"


def _no_output(model: Any) -> None:
    model.graph.output[0].name = "nothing"


def _two_weights(model: Any) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _two_inputs(model: Any) -> None:
    model.graph.input.append(model.graph.input[0])


def _negative(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -3


def _texts(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING


def _old(model: Any) -> None:
    model.opset_import[0].version = 9


def _future(model: Any) -> None:
    model.opset_import[0].version = 10_000


def _nothing(model: Any) -> None:
    del model.graph.output[:]


def _function(model: Any) -> None:
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [], opset))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_duplicate, "'y' is given twice"),
        (_cycle, "'first' .Conv. reads what depends on itself"),
        (_missing, "'second' .Relu. reads 'nothing', which nothing gives"),
        (_no_output, "the output 'nothing' is given by nothing"),
        (_two_weights, "two initialisers are called 'stem.conv.weight'"),
        (_two_inputs, "two inputs are called 'x'"),
        (_negative, "the input 'x' has the shape"),
        (_texts, "the input 'x' is not a tensor of numbers"),
        (_old, "opset 9, but must be of 11 to .*convert_version"),
        (_future, "opset 10000, but must be"),
        (_nothing, "it has no inputs or no outputs"),
        (_function, "it defines the functions own.f; .*inline_local_functions"),
    ],
)
def test_refused_with_the_reason(change: Callable[[Any], None], message: str) -> None:
    model = convolution()
    change(model)
    with pytest.raises(CheckpointError, match=message):
        read_model(serialised(model))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x08\x08", b"\x12\x01\xff" * 9])
def test_other_bytes(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="the ONNX model is"):
        read_model(content)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(serialised(convolution()))
    assert read_model(tmp_path / "a.onnx").what == f"`path`='{tmp_path}/a.onnx'"
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(CheckpointError, match=r"`path`=.* cannot be read"):
            read_model(path)


def test_attributes_of_other_kinds() -> None:
    graph = helper.make_graph([], "g", [], [])
    model = read_model(
        serialised(onnx_model([helper.make_node("If", ["x"], ["y"], then_branch=graph)]))
    )
    with pytest.raises(CheckpointError, match="attribute 'then_branch' is of a kind"):
        model.attributes(model.nodes[0])
