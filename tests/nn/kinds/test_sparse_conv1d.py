"""`SparseConv1d`: torch's 1-D convolution without the dead weights."""

import copy

import pytest
import torch
from parts import known, part
from torch import nn

from openwork.compact import compact
from openwork.engine import compile
from openwork.errors import ArgumentError
from openwork.io import load, save
from openwork.nn import Plan, SparseConv1d, densify_, grow_, sparsify_
from openwork.patterns import Pattern, random

_GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same"},
    {"padding": "same", "dilation": 3},
    {"padding": "valid", "stride": (2,)},
    *({"padding": 2, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")),
    {"padding": "same", "padding_mode": "circular"},
]


def _pattern(kernel: int = 4, groups: int = 1) -> Pattern:
    return random(8, 6, (1, kernel), 0.5, groups=groups, seed=3)


# torch's own advice on even kernels, about the dense layer that ours is compared with.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("geometry", _GEOMETRIES, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_it_computes_what_its_dense_layer_does(geometry: dict, groups: int) -> None:
    layer = SparseConv1d(_pattern(groups=groups), bias=groups == 1, **geometry)
    plain = layer.to_dense()
    assert type(plain) is nn.Conv1d
    assert plain.weight.shape == (8, 6 // groups, 4)
    for shape in ((2, 6, 11), (6, 11)):
        input = torch.randn(shape)
        torch.testing.assert_close(layer(input), plain(input), rtol=0, atol=1e-6)
    again = SparseConv1d.from_dense(plain)
    assert again.pattern == layer.pattern
    assert torch.equal(again.weight, layer.weight)


def test_its_gradients_are_right() -> None:
    layer = SparseConv1d(random(2, 4, (1, 3), 0.5), padding=1, dtype=torch.float64)
    input = torch.randn(1, 4, 6, dtype=torch.float64, requires_grad=True)

    def run(*operands: torch.Tensor) -> torch.Tensor:
        x, weight, bias = operands
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (input, layer.weight, known(layer.bias)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": random(4, 4, 3, 0.5)}, "kernels of one row"),
        ({"pattern": random(4, 4, density=0.5)}, "kernels of one row"),
        ({"stride": 0}, "`stride`=0"),
        ({"stride": (1, 1)}, r"`stride`=\(1, 1\)"),
        ({"padding": -1}, "`padding`=-1"),
        ({"padding": "same", "stride": 2}, "needs stride 1, not 2"),
        ({"padding_mode": "mirror"}, "`padding_mode`"),
    ],
)
def test_a_bad_geometry_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        SparseConv1d(**{"pattern": _pattern(), **arguments})


def _net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(3, 8, 3, padding=1),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 12, 3, stride=2, groups=2),
        nn.ReLU(),
        nn.Conv1d(12, 4, 1),
        nn.Flatten(),
        nn.Linear(28, 2),
    ).eval()


def test_a_network_is_trained_grown_saved_compiled_and_compacted(tmp_path) -> None:
    model = sparsify_(_net(), Plan({"conv:*": {"pattern": "random", "density": 0.5}}))
    assert [type(model[i]) for i in (0, 3, 5)] == [SparseConv1d] * 3
    grow_(model, {"3": 0.75})
    x = torch.randn(2, 3, 16)
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    expected = model(x).detach()
    torch.testing.assert_close(densify_(copy.deepcopy(model))(x), expected)
    save(model, tmp_path / "sparse.safetensors")
    assert torch.equal(load(tmp_path / "sparse.safetensors", build=_net).eval()(x), expected)
    compiled = compile(model, x, kernels={"*": ("f32-conv-taps-*", "*")})
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-5)


def test_dead_channels_are_cut_and_the_result_is_saved(tmp_path) -> None:
    model = sparsify_(_net(), Plan({"0": {"pattern": "random", "density": 0.5}}))
    for name in ("1.weight", "1.bias"):
        model.get_parameter(name).data[[0, 5]] = 0
    x = torch.randn(2, 3, 16)
    small, _ = compact(model, x)
    first = part(small, 0, SparseConv1d)
    assert (first.out_channels, first.kernel_size) == (6, (3,))
    torch.testing.assert_close(small(x), model(x))
    save(small, tmp_path / "small.safetensors")
    assert torch.equal(load(tmp_path / "small.safetensors", build=_net).eval()(x), small(x))
