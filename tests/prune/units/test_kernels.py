"""Kernels and blocks: what counts as one, and how closely a ratio is met."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


def _plan(model: nn.Module, **more: object) -> ow.Plan:
    return prune.by_criterion(model, progress=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["plain", "residual", "concatenating", "depthwise"])
@pytest.mark.parametrize("granularity", ["kernel", "block", "intra_kernel"])
def test_the_sparse_network_is_the_masked_dense_one(
    kind: str,
    granularity: str,
    network: Build,
    example: torch.Tensor,
    masked: Callable[..., nn.Module],
) -> None:
    model = network(kind)
    plan = _plan(model, granularity=granularity, ratio=0.4, block=(2, 1), layers=["a", "b", "last"])
    expected = masked(model, plan)(example)
    sparse = ow.sparsify_(model, plan, init="keep")
    torch.testing.assert_close(sparse(example), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.3, 0.5, 0.77, 0.98])
def test_each_layer_meets_the_ratio_to_half_a_kernel(ratio: float, network: Build) -> None:
    model = network("concatenating")
    # The depthwise layer has only 8 kernels, too few for the highest ratio.
    names = ["a", "b", "grouped", "wide", "last"]
    patterns = _plan(model, ratio=ratio, layers=names).resolve(model)
    for name in names:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        out_channels, in_channels, *_ = layer.weight.shape
        kernels = live = out_channels * in_channels
        # A layer that stays whole is not in the plan, unless all layers do.
        if name in patterns:
            live = len(patterns[name].connections)
            assert patterns[name].whole
            assert live < kernels or ratio == 0
        assert abs((kernels - live) - ratio * kernels) <= 0.5


def test_blocks_are_removed_whole(network: Build) -> None:
    model = network("plain")
    pattern = _plan(model, granularity="block", ratio=0.5, block=(4, 2), layers=["a"]).resolve(
        model
    )["a"]
    live = pattern.taps.any(axis=(2, 3)).reshape(2, 4, 4, 2)
    assert (live.any(axis=(1, 3)) == live.all(axis=(1, 3))).all()
    assert live.any(axis=(1, 3)).sum() == 4


def test_a_block_that_does_not_divide_a_layer_is_refused(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match=r"`block`=\(3, 1\) must divide the 8 filters"):
        _plan(network("plain"), granularity="block", ratio=0.5, block=(3, 1), layers="a")


def test_the_kernels_with_the_smallest_weights_are_removed(network: Build) -> None:
    model = network("plain")
    layer = model.get_submodule("a")
    assert isinstance(layer, nn.Conv2d)
    live = _plan(model, ratio=0.5, layers="a").resolve(model)["a"].taps.any(axis=(2, 3))
    sums = layer.weight.detach().abs().sum((2, 3)).numpy()
    assert sums[~live].max() < sums[live].min()


def test_global_scope_shares_the_ratio_out_over_layers(network: Build) -> None:
    model = network("plain")
    with torch.no_grad():
        for name, factor in (("a", 0.01), ("last", 1.0)):
            weight = model.get_submodule(name).weight
            assert isinstance(weight, torch.Tensor)
            weight.mul_(factor)
    plan = _plan(model, ratio=0.5, scope="global", layers=["a", "last"])
    patterns = plan.resolve(model)
    live = {name: len(pattern.connections) for name, pattern in patterns.items()}
    # Half of 64 + 120 kernels are removed: all but one of the weaker layer first.
    assert live == {"a": 1, "last": 91}


def test_linear_layers_lose_single_weights(network: Build) -> None:
    model = network("plain")
    pattern = _plan(model, ratio=0.25, layers="linear:*").resolve(model)["head"]
    assert pattern.live == 600


def test_a_second_cut_is_made_in_what_is_left(network: Build) -> None:
    model = network("plain")
    first = _plan(model, ratio=0.5, layers="a")
    before = first.resolve(model)["a"].taps
    prune.apply_(model, first)
    live = _plan(model, ratio=0.5, layers="a")
    total = _plan(model, ratio=0.5, layers="a", of="all")
    ow.densify_(model)
    assert live.resolve(model)["a"].live == 16 * 9
    assert total.resolve(model)["a"].live == 32 * 9
    assert not (live.resolve(model)["a"].taps & ~before).any()


def test_layers_that_were_sparse_already_are_in_the_plan(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, ratio=0.5, layers="last"))
    plan = _plan(model, ratio=0.5, layers="a")
    ow.sparsify_(ow.densify_(model), plan, init="keep")
    assert {n for n, m in model.named_modules() if isinstance(m, ow.SparseConv2d)} == {"a", "last"}


def test_removed_weights_are_no_longer_parameters(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, ratio=0.75, layers="a"))
    optimizer = torch.optim.Adam(model.parameters())
    sizes = [p.numel() for group in optimizer.param_groups for p in group["params"]]
    assert np.sum(sizes) == sum(p.numel() for p in model.parameters())
    weight = model.get_submodule("a").weight
    assert isinstance(weight, nn.Parameter)
    assert weight.shape == (16 * 9,)
