"""Operators with weights: geometry, live weights and folded statistics."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lowering import Do, graph_nodes
from torch import nn

import openwork as ow
from openwork.engine import CompiledModel
from openwork.engine.fallback import Fallback
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import random
from openwork.runtime.nodes import Affine, Conv


def test_weights_that_depend_on_the_input_stay_with_torch(
    build: Callable[..., CompiledModel],
) -> None:
    model = Do(lambda x: F.conv2d(x, x.mean() * torch.ones(4, 4, 1, 1)))
    compiled = build(model, torch.randn(2, 4, 6, 8))
    assert "computed from the input" in str(compiled.layers.notes)


@pytest.mark.parametrize("kernel", [3, 5, (1, 7)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_named_padding(kernel: int, padding: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(nn.Conv2d(3, 4, kernel, padding=padding), torch.randn(2, 3, 9, 9))
    assert compiled.layers.notes == ()


def _conv(model: nn.Module, *shape: int) -> Conv:
    (node,) = graph_nodes(model, torch.zeros(2, *shape))
    assert isinstance(node, Conv)
    return node


@pytest.mark.parametrize(
    ("layer", "shape", "geometry"),
    [
        (nn.Conv2d(4, 6, 3), (6, 4, 3, 3), ((1, 1), (0, 0), (1, 1), 1)),
        (
            nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), (1, 3), 2),
            (6, 2, 3, 1),
            ((2, 1), (1, 0), (1, 3), 2),
        ),
        (
            nn.Conv2d(4, 4, (3, 5), padding="same", dilation=2, groups=4),
            (4, 1, 3, 5),
            ((1, 1), (2, 4), (2, 2), 4),
        ),
    ],
    ids=str,
)
def test_a_convolution_keeps_its_geometry(
    layer: nn.Conv2d, shape: tuple[int, ...], geometry: tuple[object, ...]
) -> None:
    conv = _conv(nn.Sequential(layer), 4, 9, 10)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == geometry
    assert (conv.layer, conv.size, conv.shape, conv.linear) == ("0", (9, 10), shape, False)
    np.testing.assert_array_equal(conv.dense_weight(), layer.weight.detach().numpy())
    assert conv.bias is not None
    assert layer.bias is not None
    np.testing.assert_array_equal(conv.bias, layer.bias.detach().numpy())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3),
        nn.Conv1d(4, 6, 5, 2, 4, 3, 2),
        nn.Conv1d(4, 4, 7, padding="same", groups=4),
    ],
    ids=str,
)
@pytest.mark.parametrize("kernels", [None, {"*": "torch"}], ids=["measured", "torch"])
def test_a_convolution_of_rows_runs_as_one_of_maps(
    layer: nn.Conv1d, kernels: dict[str, str] | None
) -> None:
    model = nn.Sequential(layer, nn.ReLU(), nn.Conv1d(layer.out_channels, 3, 1)).eval()
    compiled = ow.compile(model, torch.randn(2, 4, 31), kernels=kernels)
    assert compiled.layers.notes == ()
    x = torch.randn(5, 4, 31)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
    conv = _conv(nn.Sequential(layer), 4, 31)
    height, width = conv.geometry.out_size
    assert (conv.size, height, width) == ((1, 31), 1, layer(torch.zeros(1, 4, 31)).shape[2])


def test_a_linear_layer_is_a_convolution_of_one_pixel() -> None:
    layer = nn.Linear(5, 3, bias=False)
    with torch.no_grad():
        layer.weight[1, 2] = layer.weight[2, 4] = 0
    conv = _conv(nn.Sequential(layer), 5)
    assert (conv.size, conv.shape, conv.linear, conv.bias) == ((1, 1), (3, 5, 1, 1), True, None)
    assert conv.positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]
    np.testing.assert_array_equal(conv.dense_weight().reshape(3, 5), layer.weight.detach().numpy())


def test_dead_kernels_of_a_dense_layer_have_no_positions() -> None:
    layer = nn.Conv2d(2, 2, 3)
    with torch.no_grad():
        layer.weight[0, 1] = 0
    conv = _conv(nn.Sequential(layer), 2, 5, 5)
    assert conv.positions.tolist() == [*range(9), *range(18, 36)]


def test_sparse_layers_keep_their_patterns() -> None:
    pattern = random(6, 4, 3, 0.5)
    convolution = _conv(nn.Sequential(SparseConv2d(pattern, stride=2, padding=1)), 4, 7, 7)
    assert convolution.positions.tolist() == pattern.positions.tolist()
    assert (convolution.stride, convolution.padding) == ((2, 2), (1, 1))
    pattern = random(6, 10, density=0.3)
    linear = _conv(nn.Sequential(SparseLinear(pattern)), 10)
    assert linear.positions.tolist() == pattern.positions.tolist()
    assert linear.linear


def _norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(2, eps=0.0)
    norm.running_mean, norm.running_var = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.25])
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([3.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.5, -1.0]))
    return norm


def test_a_norm_is_a_factor_and_a_term_for_each_channel() -> None:
    (node,) = graph_nodes(nn.Sequential(_norm()), torch.zeros(2, 2, 3, 3))
    assert isinstance(node, Affine)
    # 3 / sqrt(4) and 1 / sqrt(0.25); 0.5 - 1 * 1.5 and -1 + 2 * 2.
    assert (node.scale.tolist(), node.shift.tolist()) == ([1.5, 2.0], [-1.0, 3.0])
    assert node.scale.dtype == np.float64


def test_a_norm_without_weights_only_standardises() -> None:
    norm = nn.BatchNorm2d(2, eps=1.0, affine=False)
    norm.running_mean, norm.running_var = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.0])
    (node,) = graph_nodes(nn.Sequential(norm), torch.zeros(2, 2, 3, 3))
    assert isinstance(node, Affine)
    assert (node.scale.tolist(), node.shift.tolist()) == ([0.5, 1.0], [-0.5, 2.0])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: F.batch_norm(x, None, None, training=True), "in training mode"),
        (
            lambda x: F.conv2d(x, torch.ones(4, 4, 2, 2), padding="same"),
            "more padding on one side than on the other",
        ),
    ],
)
def test_why_torch_runs_the_rest(body: Callable[[torch.Tensor], torch.Tensor], reason: str) -> None:
    *_, last = graph_nodes(Do(body), torch.zeros(2, 4, 6, 8))
    assert isinstance(last, Fallback)
    assert last.reason.endswith(reason)
