"""`SparseConv2d`: torch's convolution without the dead weights."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from parts import known
from torch import nn

from openwork.errors import ArgumentError, CheckpointError
from openwork.nn import SparseConv2d
from openwork.patterns import Pattern, dense, random

_GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same"},
    {"padding": "same", "dilation": (1, 3)},
    {"padding": "valid"},
    {"padding": (2, 1), "dilation": 2},
    *({"padding": 2, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")),
    {"padding": "same", "padding_mode": "circular"},
]


def _pattern(kernel: tuple[int, int] = (3, 2), groups: int = 1) -> Pattern:
    return random(8, 6, kernel, 0.5, groups=groups, seed=3)


# torch's own advice on even kernels, about the dense layer that ours is compared with.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("geometry", _GEOMETRIES, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_its_dense_layer_does(geometry: dict, groups: int, bias: bool) -> None:
    layer = SparseConv2d(_pattern(groups=groups), bias=bias, **geometry)
    plain = layer.to_dense()
    assert type(plain) is nn.Conv2d
    for shape in ((2, 6, 9, 8), (6, 9, 8)):
        input = torch.randn(shape)
        result = layer(input)
        assert result.shape == plain(input).shape
        torch.testing.assert_close(result, plain(input), rtol=0, atol=1e-6)


@pytest.mark.parametrize("geometry", _GEOMETRIES, ids=str)
def test_its_gradients_are_right_in_every_geometry(geometry: dict) -> None:
    layer = SparseConv2d(random(2, 4, (3, 2), 0.5), **geometry, dtype=torch.float64)
    input = torch.randn(1, 4, 6, 7, dtype=torch.float64, requires_grad=True)

    def run(*operands: torch.Tensor) -> torch.Tensor:
        x, weight, bias = operands
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    operands = (input, layer.weight, known(layer.bias))
    assert torch.autograd.gradcheck(run, operands)


@pytest.mark.parametrize("init", ["keep", "rescale", "reset"])
@pytest.mark.parametrize("geometry", _GEOMETRIES, ids=str)
def test_from_dense_takes_over_the_layer(init: str, geometry: dict) -> None:
    torch.manual_seed(0)  # one number in 2**24 is drawn twice now and then
    plain = nn.Conv2d(6, 8, (3, 2), **geometry).eval().requires_grad_(False)
    pattern = _pattern()
    layer = SparseConv2d.from_dense(plain, pattern, init=init)
    assert layer.pattern == pattern
    assert not layer.training
    assert not layer.weight.requires_grad
    kept = plain.weight[torch.from_numpy(pattern.taps)]
    if init == "keep":
        assert torch.equal(layer.weight, kept)
        assert torch.equal(known(layer.bias), known(plain.bias))
        back = layer.to_dense()
        assert torch.equal(back.weight, plain.weight * torch.from_numpy(pattern.taps))
        assert (back.stride, back.padding, back.dilation) == (
            plain.stride,
            plain.padding,
            plain.dilation,
        )
        assert back.padding_mode == plain.padding_mode
        assert not back.training
        assert not back.weight.requires_grad
    elif init == "rescale":
        # Half of the six inputs live, so the fan-in halves.
        torch.testing.assert_close(layer.weight, kept * 2**0.5)
    else:
        assert not torch.isin(layer.weight, plain.weight).any()


def test_the_pattern_of_a_masked_layer_is_found() -> None:
    plain = nn.Conv2d(6, 8, 3, groups=2)
    pattern = random(8, 6, 3, 0.5, groups=2)
    plain.weight.data *= torch.from_numpy(pattern.taps)
    assert SparseConv2d.from_dense(plain).pattern == pattern


def test_it_starts_at_the_scale_of_each_filters_true_fan_in() -> None:
    taps = np.zeros((2, 64, 3, 3), dtype=bool)
    taps[0, :2] = True
    taps[1, :50] = True
    weight = SparseConv2d(Pattern(taps)).dense_weight()
    for row, fan_in in ((0, 18), (1, 450)):
        largest = weight[row].abs().max().item() * fan_in**0.5
        assert 0.8 < largest <= 1


def test_a_dead_filter_gives_its_bias() -> None:
    taps = np.ones((2, 3, 3, 3), dtype=bool)
    taps[1] = False
    layer = SparseConv2d(Pattern(taps))
    result = layer(torch.randn(1, 3, 4, 4))
    assert torch.equal(result[0, 1], known(layer.bias)[1].expand(2, 2))


def test_copies_pickles_and_saved_states_keep_weights_and_pattern() -> None:
    layer = SparseConv2d(_pattern())
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    fresh = SparseConv2d(_pattern())
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
        assert other.pattern == layer.pattern
        assert torch.equal(other.weight, layer.weight)
        assert other.weight is not layer.weight
        with pytest.raises(CheckpointError, match="another pattern"):
            other.load_state_dict(SparseConv2d(random(8, 6, (3, 2), 0.5, seed=4)).state_dict())


def test_the_state_of_another_pattern_is_refused_and_nothing_is_copied() -> None:
    model = nn.Sequential(SparseConv2d(_pattern()))
    other = nn.Sequential(SparseConv2d(random(8, 6, (3, 2), 0.5, seed=4)))
    before = model.get_parameter("0.weight").detach().clone()
    with pytest.raises(CheckpointError, match=r"`0.gaps` in the state describes another pattern"):
        model.load_state_dict(other.state_dict())
    assert model[0].pattern == _pattern()
    assert torch.equal(model.get_parameter("0.weight"), before)


def test_a_layer_made_on_the_meta_device_is_filled_from_a_state() -> None:
    layer = SparseConv2d(_pattern())
    hollow = SparseConv2d(_pattern(), device="meta")
    hollow.load_state_dict(layer.state_dict(), assign=True)
    assert hollow.pattern == layer.pattern
    input = torch.randn(1, 6, 5, 5)
    assert torch.equal(hollow(input), layer(input))


def test_changing_the_dtype_leaves_the_pattern() -> None:
    layer = SparseConv2d(_pattern()).to(torch.bfloat16)
    assert layer.gaps.dtype == torch.uint8
    assert layer(torch.randn(1, 6, 5, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": dense(4, 4)}, "is a linear layer's"),
        ({"stride": 0}, "`stride`=0"),
        ({"padding": -1}, "`padding`=-1"),
        ({"padding": "full"}, "`padding`='full'"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"dilation": (1, 2, 3)}, r"`dilation`=\(1, 2, 3\)"),
        ({"padding_mode": "mirror"}, "`padding_mode`='mirror'"),
    ],
)
def test_bad_geometry_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        SparseConv2d(**{"pattern": _pattern(), **arguments})


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_weights_that_are_no_numbers_are_refused(poison: float, where: str) -> None:
    plain = nn.Conv2d(6, 8, (3, 2))
    getattr(plain, where).data.view(-1)[-1] = poison
    with pytest.raises(ArgumentError, match=rf"`module.{where}` .* holds NaN or infinity"):
        SparseConv2d.from_dense(plain, _pattern())


def test_a_pattern_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`pattern` has shape \(8, 6, 3, 2\)"):
        SparseConv2d.from_dense(nn.Conv2d(6, 8, 3), _pattern())
    with pytest.raises(ArgumentError, match="and groups 2"):
        SparseConv2d.from_dense(nn.Conv2d(3, 8, (3, 2)), _pattern(groups=2))


def test_a_layer_without_weights_is_refused() -> None:
    with pytest.raises(ArgumentError, match="meta device"):
        SparseConv2d.from_dense(nn.Conv2d(6, 8, (3, 2), device="meta"), _pattern())
