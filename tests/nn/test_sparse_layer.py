"""What convolution and linear layer share: the scale of a start, the dense weight, the checks."""

import numpy as np
import pytest
import torch
from parts import known
from torch import nn

from openwork.errors import ArgumentError, CaptureError, CheckpointError
from openwork.nn import SparseConv2d, SparseLayer, SparseLinear
from openwork.nn.sparse_layer import check_dense
from openwork.patterns import Pattern, random

TAPS = np.array([[True, False, True], [False, True, False]])


def _layer() -> SparseLinear:
    layer = SparseLinear(Pattern(TAPS))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    return layer


def test_the_dense_weight_has_zeros_where_nothing_lives() -> None:
    layer = _layer()
    assert isinstance(layer, SparseLayer)
    assert layer.dense_weight().tolist() == [[1, 0, 2], [0, 3, 0]]
    layer.dense_weight().sum().backward()
    assert known(layer.weight.grad).tolist() == [1, 1, 1]


def test_only_live_weights_are_kept() -> None:
    state = _layer().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "weight": (3,),
        "bias": (2,),
        "gaps": (3,),
    }


def test_a_start_is_as_large_as_the_fan_in_of_each_filter_asks() -> None:
    torch.manual_seed(0)
    taps = np.zeros((2, 400), dtype=bool)
    taps[0, :4] = taps[1] = True
    layer = SparseLinear(Pattern(taps))
    weight = layer.dense_weight().detach()
    assert weight[0].abs().max() <= 1 / 2
    assert 0.8 / 20 < weight[1].abs().max() <= 1 / 20


def test_a_weight_that_is_not_finite_is_refused() -> None:
    plain = nn.Linear(3, 2)
    plain.weight.data[0, 0] = float("inf")
    with pytest.raises(ArgumentError, match="holds NaN or infinity"):
        SparseLinear.from_dense(plain, Pattern(TAPS))
    with pytest.raises(ArgumentError, match="meta device"):
        SparseLinear.from_dense(nn.Linear(3, 2, device="meta"), Pattern(TAPS))


def test_a_pattern_of_another_shape_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"shape \(2, 3\) .* weight has \(4, 3\)"):
        check_dense(nn.Linear(3, 4), nn.Linear, Pattern(TAPS))
    check_dense(nn.Linear(3, 4), nn.Linear, None)


def test_a_layer_of_another_class_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"`module` is a Linear, but must be a torch\.nn\.Conv2d"
    ):
        check_dense(nn.Linear(3, 4), nn.Conv2d, None)


def test_a_state_of_another_pattern_is_refused() -> None:
    other = SparseLinear(random(2, 3, density=1.0))
    with pytest.raises(CheckpointError, match="another pattern"):
        _layer().load_state_dict(other.state_dict())


def test_a_weight_of_another_shape_is_refused_when_it_is_assigned() -> None:
    layer = _layer()
    with pytest.raises(ArgumentError, match=r"`weight`=\(2, 3\) must keep .* densify_ first"):
        layer.weight = nn.Parameter(torch.zeros(2, 3))
    layer.weight = nn.Parameter(torch.ones_like(layer.weight))
    assert layer.dense_weight().sum() == layer.weight.numel()


def test_torch_fx_and_jit() -> None:
    model = nn.Sequential(
        SparseConv2d(random(4, 2, 3, 0.5), padding="same", padding_mode="reflect"),
        nn.Flatten(2),
        SparseLinear(random(3, 25, density=0.5)),
    )
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))
    with pytest.raises(CaptureError, match=r"script cannot compile SparseConv2d; .*densify_"):
        torch.jit.script(model)
