"""What is exported runs in ONNX Runtime with the same outputs, or nothing is written."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from residual import residual
from torch import nn

import openwork as ow
from openwork.interchange.onnx_runtime import OnnxRuntime
from openwork.verify import compare

X = torch.randn(1, 3, 12, 12)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    ).eval()


def test_a_sparse_network_is_written_dense_with_its_zeros(tmp_path: Path) -> None:
    model = ow.sparsify_(_network(), ow.Plan({"3": {"pattern": "random", "density": 0.25}}))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ow.export_onnx(model, X, tmp_path / "a.onnx")
    proto = onnx.load(tmp_path / "a.onnx")
    assert {node.domain for node in proto.graph.node} == {""}
    assert [each.domain for each in proto.opset_import] == [""]
    weights = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    assert weights["3.weight"].shape == (32, 16, 3, 3)
    assert (weights["3.weight"] == 0).mean() == 0.75
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [each.name for each in proto.graph.output] == ["output"]
    exported = OnnxRuntime((tmp_path / "a.onnx").read_bytes())
    assert compare(model, exported, (torch.randn(4, 3, 12, 12),), 1e-5).holds(1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.onnx"]


class _Wrong(nn.Module):
    """Computes something else outside torch.export."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if torch.compiler.is_exporting() else x * 3


def test_a_network_in_int8_is_written_with_its_int8_weights(tmp_path: Path) -> None:
    model, images = residual()
    small, _ = ow.quantize(model, [images], tolerance=0.2)
    ow.export_onnx(small, images[:2], tmp_path / "q.onnx")
    proto = onnx.load(tmp_path / "q.onnx")
    weights = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    for name in ("first", "second", "last"):
        held = dict(small.named_buffers())[f"{name}.int8_weight"]
        assert weights[f"{name}.int8_weight"].dtype == np.int8
        assert np.array_equal(weights[f"{name}.int8_weight"], held.numpy())
    kinds = Counter(node.op_type for node in proto.graph.node)
    # The input, after each ReLU, and after the mean.
    assert kinds["QuantizeLinear"] == 4
    assert kinds["DequantizeLinear"] == 4 + 3
    run = OnnxRuntime((tmp_path / "q.onnx").read_bytes(), as_written=True)
    expected = small(images)
    found = run(images)[0]
    assert torch.equal(found.argmax(1), expected.argmax(1))
    assert (found - expected).abs().max() <= expected.abs().max() / 127
    again = ow.from_onnx(tmp_path / "q.onnx")
    assert torch.allclose(again(images), expected, atol=1e-5)


def test_other_outputs_leave_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"earlier")
    with pytest.raises(ow.VerificationError, match="the exported network differs"):
        ow.export_onnx(_Wrong(), X, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.onnx"]


class _Split(nn.Module):
    """Takes another path for single images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(0) * 2


def test_one_batch_size_where_the_network_has_no_other(tmp_path: Path) -> None:
    ow.export_onnx(_Split(), X, tmp_path / "a.onnx")
    proto = onnx.load(tmp_path / "a.onnx")
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert len(proto.graph.output[0].type.tensor_type.shape.dim) == 3


def test_refused_with_the_way_out(tmp_path: Path) -> None:
    compiled = ow.compile(_network(), X, kernels={"*": "f32-conv-taps-*"})
    with pytest.raises(ow.ArgumentError, match="export the network that it was compiled from"):
        ow.export_onnx(compiled, X, tmp_path / "a.onnx")
    with pytest.raises(ow.ArgumentError, match="`opset`=11 must be"):
        ow.export_onnx(_network(), X, tmp_path / "a.onnx", opset=11)
    with pytest.raises(ow.ArgumentError, match="`opset`=99 must be at most"):
        ow.export_onnx(_network(), X, tmp_path / "a.onnx", opset=99)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dynamo", [True, False])
def test_torchs_own_export_takes_sparse_layers(tmp_path: Path, dynamo: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 6)).eval()
    ow.sparsify_(model, ow.Plan({"*": {"pattern": "random", "density": 0.5}}))
    x = torch.randn(1, 3, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x,), tmp_path / "a.onnx", dynamo=dynamo, verbose=False, external_data=False
        )
    exported = OnnxRuntime((tmp_path / "a.onnx").read_bytes())
    assert compare(model, exported, (x,), 1e-5).holds(1e-5)
