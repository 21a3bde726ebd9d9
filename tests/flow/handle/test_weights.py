"""Layers with weights: what they read, where constants are added, and what declines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import known, part
from torch import nn

from openwork.capture import capture
from openwork.compact import compact
from openwork.flow.analysis import Analysis, analyse
from openwork.flow.context import Opaque
from openwork.flow.weighted_sum import Fold, WeightedSum
from openwork.io import load, save
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import random

NAN = float("nan")


def _analyse(model: nn.Module, shape: tuple[int, ...] = (2, 4, 6, 6)) -> Analysis:
    return analyse(capture(model.eval(), (torch.rand(shape),)), model)


def _first(model: nn.Module, shape: tuple[int, ...] = (2, 4, 6, 6)) -> WeightedSum:
    return _analyse(model, shape).weighted_sums[0]


class Sparse(nn.Conv2d):
    """A convolution with two live kernels."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            live = torch.zeros_like(self.weight)
            live[0, 1] = live[2, 0] = 1
            self.weight.mul_(live)


def test_a_convolution_reads_its_live_kernels() -> None:
    layer = Sparse(4, 6, 3)
    op = _first(layer)
    reads = np.zeros((1, 6, 4), dtype=bool)
    reads[0, 0, 1] = reads[0, 2, 0] = True
    assert np.array_equal(op.weight.reads, reads)
    expected = layer.weight.detach().double().sum((2, 3))[None]
    np.testing.assert_allclose(op.weight.sums, expected)
    assert (op.weight.name, op.weight.groups, op.weight.transposed) == ("weight", 1, False)
    assert op.outputs[0].shape == (2, 6, 4, 4)
    assert (op.placement.axis, op.placement.spatial) == (1, True)


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        ({}, True),
        ({"padding": "valid"}, True),
        ({"stride": 2, "dilation": 2}, True),
        ({"padding": 1}, False),
        ({"padding": (0, 1)}, False),
        ({"padding": "same"}, False),
    ],
)
def test_padding_changes_constants(options: dict, keeps: bool) -> None:
    assert _first(nn.Conv2d(4, 6, 3, **options)).placement.keeps_constants == keeps


def test_a_transposed_convolution_reads_the_other_axis() -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, 2, groups=2)
    nn.init.zeros_(layer.weight[3, 1])
    op = _first(layer)
    reads = np.ones((2, 3, 2), dtype=bool)
    # Input 3 is the second of group 1, and its output 1 that group's second.
    reads[1, 1, 1] = False
    assert op.weight.transposed
    assert np.array_equal(op.weight.reads, reads)
    assert not op.placement.keeps_constants


def test_linear_layers_have_channels_along_the_last_axis() -> None:
    op = _first(nn.Linear(4, 3), (2, 5, 4))
    assert (op.placement.axis, op.placement.spatial, op.placement.keeps_constants) == (
        *(2, False, True),
    )
    assert op.weight.reads.shape == (1, 3, 4)


@pytest.mark.parametrize("kind", ["convolution", "linear"])
def test_sparse_layers_read_what_their_pattern_has(kind: str) -> None:
    if kind == "convolution":
        layer, shape = SparseConv2d(random(6, 4, 3, 0.25)), (2, 4, 6, 6)
    else:
        layer, shape = SparseLinear(random(6, 4, density=0.25)), (2, 4)
    live = (layer.dense_weight() != 0).reshape(6, 4, -1).any(2)
    assert not live.all()
    assert _first(layer, shape).weight.reads[0].tolist() == live.tolist()


def test_depthwise_channels_are_coupled() -> None:
    analysis = _analyse(nn.Conv2d(4, 4, 3, groups=4))
    (op,) = analysis.weighted_sums
    group = analysis.atoms.coupled_groups()
    assert op.weight.depthwise
    assert group[op.weight.out].tolist() == group[op.weight.inside].tolist()


class Normed(nn.Module):
    """A convolution without bias, then a batch norm, which `twice` reads it again."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.twice = twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y) + y if self.twice else self.norm(y)


@pytest.mark.parametrize(
    ("model", "fold"),
    [
        (nn.Conv2d(4, 4, 1), Fold("bias", 1)),
        (nn.Sequential(nn.Conv2d(4, 4, 1)), Fold("0.bias", 1)),
        (nn.Conv2d(4, 4, 1, bias=False), Fold("bias", 1)),
        (Normed(twice=False), Fold("norm.running_mean", -1)),
        (Normed(twice=True), Fold("conv.bias", 1)),
    ],
    ids=["bias", "inner bias", "new bias", "running mean", "two readers"],
)
def test_where_constants_of_removed_inputs_are_added(model: nn.Module, fold: Fold) -> None:
    op = _first(model)
    assert op.fold == fold
    assert op.exclusive


class Functional(nn.Module):
    """A weight that a function of the model's own reads."""

    def __init__(self, body: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.body = nn.Parameter(torch.rand(shape)), body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, self.kernel)


def test_a_bias_cannot_be_made_for_a_weight_without_a_layer() -> None:
    op = _first(Functional(F.conv2d, (4, 4, 1, 1)))
    assert op.fold is None
    assert op.weight.name == "kernel"


def test_a_weight_used_twice_is_not_exclusive() -> None:
    analysis = _analyse(Functional(lambda x, w: F.conv2d(F.conv2d(x, w), w), (4, 4, 1, 1)))
    one, two = analysis.weighted_sums
    assert one.weight is two.weight
    assert not one.exclusive
    assert not two.exclusive


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (lambda x, w: F.conv2d(x, w * 2), (4, 4, 1, 1)),
        (lambda x, w: F.conv1d(x[0].flatten(1), w), (4, 4, 1)),
        (lambda x, w: F.conv2d(x[0], w), (4, 4, 1, 1)),
    ],
    ids=["computed weight", "one spatial axis", "no batch axis"],
)
def test_other_uses_are_not_understood(body: Callable, shape: tuple[int, ...]) -> None:
    analysis = _analyse(Functional(body, shape))
    assert analysis.weighted_sums == []
    assert isinstance(analysis.ops[-2], Opaque)


def test_two_uses_of_a_weight_with_other_groups_are_not_understood() -> None:
    def body(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x[:, :2], w) + F.conv2d(x, w, groups=2)

    assert len(_analyse(Functional(body, (4, 2, 1, 1))).weighted_sums) == 1


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norms_scale_and_shift_constants(affine: bool) -> None:
    norm = nn.BatchNorm2d(4, eps=0.0, affine=affine)
    conv = nn.Conv2d(4, 4, 1)
    with torch.no_grad():
        conv.weight[1:] = 0
        known(conv.bias).copy_(torch.tensor([0.0, 1, 2, 3]))
        known(norm.running_mean).copy_(torch.tensor([0.0, 1, 1, 1]))
        known(norm.running_var).copy_(torch.tensor([1.0, 4, 4, 4]))
        if affine:
            norm.weight.copy_(torch.tensor([1.0, 1, 2, 0]))
            norm.bias.copy_(torch.tensor([0.0, 0, 5, 7]))
    analysis = _analyse(nn.Sequential(conv, norm))
    ids = analysis.ops[-1].inputs[0].along(1)
    expected = [NAN, 0, 6, 7] if affine else [NAN, 0, 0.5, 1]
    assert np.array_equal(analysis.atoms.value[ids], expected, equal_nan=True)
    group = analysis.atoms.coupled_groups()
    mean = analysis.vectors["1.running_mean"].ids
    assert (
        group[ids].tolist() == group[mean].tolist() == group[analysis.weighted_sums[0].out].tolist()
    )


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4)],
    ids=["batch statistics", "instance norm without scale"],
)
def test_norms_over_the_batch_are_not_understood(norm: nn.Module) -> None:
    analysis = _analyse(nn.Sequential(nn.Conv2d(4, 4, 1), norm))
    assert analysis.atoms.frozen()[analysis.weighted_sums[0].out].all()


def _group_normed(groups: int, **options: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(groups, 8, **options), nn.ReLU()),
        nn.Conv2d(8, 2, 3, padding=1),
    )


@pytest.mark.parametrize(
    ("groups", "dead", "shift", "left"),
    [
        (4, [0, 1], -1.0, (3, 6)),
        (4, [2, 3, 6, 7], 0.0, (2, 4)),
        (4, [0, 1, 2, 3], 0.5, (3, 6)),
        (4, [0, 2], -1.0, (4, 8)),
        (8, [1, 5], -1.0, (6, 6)),
        (1, [0, 1, 2], -1.0, (1, 8)),
    ],
)
@torch.no_grad()
def test_a_group_norm_loses_whole_groups(
    groups: int, dead: list[int], shift: float, left: tuple[int, int]
) -> None:
    model, x = _group_normed(groups).eval(), torch.rand(2, 3, 6, 6)
    norm = part(model, 1, nn.GroupNorm)
    norm.weight[dead], norm.bias[dead] = 0, shift
    small, _ = compact(model, x)
    found = part(small, 1, nn.GroupNorm)
    assert (found.num_groups, found.num_channels) == left
    assert part(small, 0, nn.Conv2d).out_channels == left[1]
    assert torch.allclose(small(x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("what", "left"), [("zeros", 6), ("constants", 6), ("half", 8), ("unread", 6), ("no scale", 8)]
)
@torch.no_grad()
def test_a_group_of_constants_or_that_nothing_reads_goes(what: str, left: int) -> None:
    model, x = _group_normed(4, affine=what != "no scale").eval(), torch.rand(2, 3, 6, 6)
    first, last = part(model, 0, nn.Conv2d), part(model, 3, nn.Conv2d)
    if what == "unread":
        last.weight[:, 4:6] = 0
    else:
        places = [4] if what == "half" else [4, 5]
        first.weight[places] = 0
        known(first.bias)[places] = torch.tensor([1.0, 3.0][: len(places)]) * (what == "constants")
    if what == "constants":
        # One of the two becomes the constant -1 before the rectifier, the other is absorbed.
        part(model, 1, nn.GroupNorm).bias[4:6] = -2
    small, _ = compact(model, x)
    assert part(small, 0, nn.Conv2d).out_channels == left
    assert torch.allclose(small(x), model(x), rtol=0, atol=1e-5)


def test_a_cut_group_norm_is_saved_and_trained(tmp_path: Path) -> None:
    model, x = _group_normed(4), torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        norm = part(model, 1, nn.GroupNorm)
        norm.weight[2:4], norm.bias[2:4] = 0, -1
    small, _ = compact(model, x)
    save(small, tmp_path / "m")
    loaded = load(tmp_path / "m", lambda: _group_normed(4))
    assert part(loaded, 1, nn.GroupNorm).num_groups == 3
    assert torch.equal(loaded(x), small(x))
    loaded(x).sum().backward()
