"""The structured sparse networks: how sparse they are, and that they behave like the others."""

import functools
from pathlib import Path

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.errors import ArgumentError
from openwork.models import build, describe, source_of
from openwork.nn import SparseConv2d

NETWORKS = ["mobilenet", "resnet32", "resnet32x2", "vgg16-cifar", "vgg19-cifar"]


def _convolutions(model: nn.Module) -> list[nn.Conv2d | SparseConv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | SparseConv2d)]


@functools.cache
def _dense_weights(name: str) -> int:
    return sum(m.weight.numel() for m in _convolutions(build(name)))


@pytest.mark.parametrize("sparsity", [0.9, 0.98])
@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_are_as_sparse_as_the_name_says(name: str, sparsity: float) -> None:
    sparse = build(f"ssc:{name}:{sparsity}")
    live = sum(m.weight.numel() for m in _convolutions(sparse))
    assert 1 - live / _dense_weights(name) == pytest.approx(sparsity, abs=0.005)
    first, *others = _convolutions(sparse)
    assert isinstance(first, nn.Conv2d)
    for layer in others:
        assert isinstance(layer, SparseConv2d)
        assert layer.pattern.fan_in.min() >= 1
        assert layer.pattern.fan_out.min() >= 1


@pytest.mark.parametrize("name", ["resnet32", "mobilenet"])
def test_a_training_step_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = build(f"ssc:{name}:0.9", image_size=16, depth_multiplier=0.5)
    target = torch.tensor([0, 1, 2, 3])
    nn.functional.cross_entropy(model(torch.randn(4, 3, 16, 16)), target).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_a_network_comes_back_from_its_file(tmp_path: Path) -> None:
    model = build("ssc:resnet32:0.9", depth_multiplier=0.5).eval()
    ow.save(model, tmp_path / "model.safetensors")
    again = ow.load(tmp_path / "model.safetensors").eval()
    assert source_of(again) == source_of(model)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))


def test_weights_begin_at_the_scale_of_the_true_fan_in() -> None:
    torch.manual_seed(0)
    for layer in _convolutions(build("ssc:vgg16-cifar:0.9"))[1:]:
        fan_in = layer.weight.numel() / layer.out_channels
        assert layer.weight.var().item() == pytest.approx(2 / fan_in, rel=0.15)


def test_describe_knows_the_prefix() -> None:
    assert "ssc:resnet32:0.95" in describe("ssc:resnet32:0.95")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ssc:resnet32", "Write for instance ssc:resnet32:0.95"),
        ("ssc:resnet32:1", r"a sparsity in \[0, 1\)"),
        ("ssc:resnet32:nan", r"a sparsity in \[0, 1\)"),
        ("ssc:resnet3:0.9", r"`name` is 'resnet3': no model has this name. Did you mean resnet32"),
    ],
)
def test_bad_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build(name)
