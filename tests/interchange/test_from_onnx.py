"""An ONNX model becomes an ordinary network, which every verb works on."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from onnx_models import convolution, onnx_model, serialised
from torch import nn

import openwork as ow
from openwork.interchange.onnx_runtime import OnnxRuntime
from openwork.verify import compare

X = torch.randn(2, 3, 8, 8)


def _equal(model: Any, inputs: torch.Tensor = X) -> nn.Module:
    content = serialised(model)
    network = ow.from_onnx(content)
    found = compare(OnnxRuntime(content), network, (inputs,), 1e-5)
    assert found.holds(1e-5), found
    return network


def test_layers_keep_their_names_and_are_copies() -> None:
    network = _equal(convolution())
    conv = network.get_submodule("stem.conv")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.padding, conv.in_channels, network.training) == ((1, 1), 3, False)
    assert isinstance(network.get_submodule("second"), nn.ReLU)
    assert set(network.state_dict()) == {"stem.conv.weight", "stem.conv.bias"}
    network.train()(X).sum().backward()
    assert conv.weight.grad is not None


def test_round_trip_of_a_sparse_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(144, 5),
    ).eval()
    ow.sparsify_(model, ow.Plan({"3": {"pattern": "random", "density": 0.25}}))
    ow.export_onnx(model, X, tmp_path / "a.onnx")
    network = ow.from_onnx(tmp_path / "a.onnx")
    assert compare(model, network, (X,), 1e-5).holds(1e-5)
    zeros = network.get_parameter("3.weight") == 0
    assert zeros.float().mean() == 0.75
    fast = ow.compile(tmp_path / "a.onnx", kernels={"*": "f32-conv-taps-*"})
    assert compare(model, fast, (X,), 1e-4).holds(1e-4)
    ow.sparsify_(network, ow.Plan({"3": {"pattern": "random", "density": 0.25}}))
    assert type(network.get_submodule("3")) is ow.SparseConv2d


def test_maps_of_any_size_are_doubled_without_torch() -> None:
    sizes = "n", 3, "height", "width"
    rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    resize = helper.make_node("Resize", ["x", "", "s"], ["y"], nearest_mode="floor", **rule)
    scales = {"s": np.array([1, 1, 2, 3], np.float32)}
    network = _equal(onnx_model([resize], scales, shape=sizes))
    fast = ow.compile(network, X)
    assert not any(note.startswith("left to torch") for note in fast.layers.notes)


def test_every_unknown_operator_is_named_at_once() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], "one"),
        helper.make_node("Own", ["a"], ["b"], "two", domain="com.example"),
        helper.make_node("NonZero", ["b"], ["y"]),
    ]
    message = r"opset 18 .*NonZero \(2 times, first at 'one'\), com.example.Own \(1 times"
    with pytest.raises(ow.CheckpointError, match=message):
        ow.from_onnx(serialised(onnx_model(nodes)))


def test_a_node_that_cannot_be_built_is_named() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], "odd", strides=[1])
    weights = {"w": np.zeros((4, 3, 3, 3), np.float32)}
    with pytest.raises(
        ow.CheckpointError, match="cannot read the node 'odd', Conv of opset 18: `strides` is"
    ):
        ow.from_onnx(serialised(onnx_model([node], weights)))


def test_a_file_of_some_bytes_asks_for_much_memory() -> None:
    sizes = {"s": np.array([1 << 20, 1 << 20])}
    node = helper.make_node("ConstantOfShape", ["s"], ["a"])
    other = helper.make_node("Add", ["x", "a"], ["y"])
    with pytest.raises(ow.CheckpointError, match=r"1,099,511,627,776 numbers from constants"):
        ow.from_onnx(serialised(onnx_model([node, other], sizes)))


def test_shapes_are_computed_on_numbers() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["y"]),
    ]
    weights = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1, 4])}
    network = _equal(onnx_model(nodes, weights))
    assert network(torch.zeros(5, 3, 8, 8)).shape == (5, 48, 4)
    compiled = ow.compile(network, X)
    assert compiled(torch.zeros(5, 3, 8, 8)).shape == (5, 48, 4)


def test_weights_are_shared_as_in_the_file() -> None:
    weights = {"w": np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["y"]),
    ]
    network = _equal(onnx_model(nodes, weights))
    assert len(list(network.parameters())) == 1


def test_matrices_with_a_bias_and_constants_in_arithmetic() -> None:
    draw = np.random.default_rng(0)
    weights = {
        "w": draw.normal(size=(8, 6)).astype(np.float32),
        "b": draw.normal(size=6).astype(np.float32),
        "two": np.array(2, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Pow", ["c", "two"], ["d"]),
        helper.make_node("Div", ["d", "two"], ["y"]),
    ]
    network = _equal(onnx_model(nodes, weights))
    assert [type(m).__name__ for m in network.children()] == ["Linear"]
    assert set(dict(network.named_parameters())) == {"MatMul.weight", "b"}


class _ChannelsLast(nn.Module):
    """A block of a ConvNeXt: depthwise, norm, two linear layers, a scale, a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8, eps=1e-6)
        self.wide, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.wide(y)))
        return x + self.scale * y.permute(0, 3, 1, 2)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_channels_last_runs_without_torch(opset: int, tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 2, 2), nn.GroupNorm(2, 8), _ChannelsLast(), nn.AdaptiveAvgPool2d(1)
    ).eval()
    x = torch.randn(1, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x,), tmp_path / "a.onnx", dynamo=False, opset_version=opset,
            input_names=["x"], dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    kernels = {"*": ["*-spmm-*", "*-depthwise-*"]}
    compiled = ow.compile(tmp_path / "a.onnx", x.repeat(3, 1, 1, 1), kernels=kernels)
    assert not [note for note in compiled.layers.notes if note.startswith("left to torch")]
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_compile_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"GGUF")
    with pytest.raises(ow.ArgumentError, match="is a GGUF file, but must be"):
        ow.compile(tmp_path / "a.onnx")
    with pytest.raises(ow.ArgumentError, match=r"`model`='no.onnx' cannot be read"):
        ow.compile("no.onnx")


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"])
def test_numbers_on_either_side(operator: str) -> None:
    weights = {"c": np.array([1.5], np.float32)}
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node(operator, ["c", "a"], ["b"]),
        helper.make_node(operator, ["b", "c"], ["y"]),
    ]
    network = _equal(onnx_model(nodes, weights))
    assert list(network.parameters()) == []
