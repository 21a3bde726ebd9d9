"""Strided taps: one mask for each source map, at regular distances."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import openwork as ow
from openwork import prune
from openwork.prune.criteria import drawn
from openwork.prune.units.layers import chosen_layers
from openwork.prune.units.strided import offset_masks, strided_taps

Build = Callable[[str], nn.Module]


def _mask(model: nn.Module, name: str, ratio: float, **more: object) -> np.ndarray:
    plan = prune.by_criterion(
        model,
        granularity="intra_kernel",
        ratio=ratio,
        layers=name,
        progress=False,
        **more,  # type: ignore[arg-type]
    )
    return plan.resolve(model)[name].taps


def test_all_kernels_of_a_source_map_share_a_mask(network: Build) -> None:
    mask = _mask(network("plain"), "a", 2 / 3)
    assert (mask == mask[:1]).all()
    assert (mask[0].sum(axis=(1, 2)) == 3).all()


def test_where_the_stride_is_whole_it_is_that_stride(network: Build) -> None:
    masks = _mask(network("plain"), "a", 2 / 3)[0].reshape(8, 9)
    for mask in masks:
        assert (np.diff(np.flatnonzero(mask)) == 3).all()


def test_the_offset_with_the_largest_weights_is_taken(network: Build) -> None:
    model = network("plain")
    layer = model.get_submodule("a")
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        layer.weight.fill_(0.1)
        layer.weight[:, :, 0, 1] = layer.weight[:, :, 1, 1] = layer.weight[:, :, 2, 1] = 1.0
    mask = _mask(model, "a", 2 / 3)[0, 0]
    assert mask.tolist() == [[False, True, False]] * 3


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.7, 8 / 9])
def test_the_ratio_is_met_to_half_a_tap(ratio: float, network: Build) -> None:
    mask = _mask(network("plain"), "a", ratio)
    live = mask[0].sum()
    assert abs((72 - live) - ratio * 72) <= 0.5
    counts = mask[0].sum(axis=(1, 2))
    assert counts.max() - counts.min() <= 1


def test_grouped_convolutions_have_a_mask_for_each_input(network: Build) -> None:
    mask = _mask(network("plain"), "grouped", 2 / 3, criterion="random", seed=2)
    by_group = mask.reshape(2, 6, 4, 9)
    assert (by_group == by_group[:, :1]).all()
    assert len(np.unique(by_group[:, 0].reshape(8, 9), axis=0)) > 1


def test_kernels_of_one_tap_are_left_whole_or_refused(network: Build) -> None:
    model = network("plain")
    with pytest.raises(ow.ArgumentError, match="wide have none; use 'kernel'"):
        _mask(model, "wide", 0.5)
    plan = prune.by_criterion(
        model, granularity="intra_kernel", ratio=0.5, layers=["a", "wide"], progress=False
    )
    assert set(plan.resolve(model)) == {"a"}


def test_a_ratio_that_leaves_a_map_without_a_tap_is_refused(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match=r"must lie in \[0, 0.8888\]"):
        _mask(network("plain"), "a", 0.9)


def test_taps_that_are_cut_already_are_refused(network: Build) -> None:
    model = network("plain")
    plan = prune.by_criterion(
        model, granularity="intra_kernel", ratio=0.5, layers="a", progress=False
    )
    prune.apply_(model, plan)
    with pytest.raises(ow.ArgumentError, match="lost single taps already; densify_ it"):
        _mask(model, "a", 0.5)


@given(st.integers(1, 49).flatmap(lambda taps: st.tuples(st.integers(1, taps), st.just(taps))))
def test_every_offset_has_the_same_number_of_taps(sizes: tuple[int, int]) -> None:
    count, taps = sizes
    offered = offset_masks(count, taps)
    assert (offered.sum(axis=1) == count).all()
    assert (offered.sum(axis=0) == count).all()


def test_dead_source_maps_do_not_count(network: Build) -> None:
    model = network("plain")
    odd_only = np.ones((8, 8, 3, 3), dtype=bool)
    odd_only[:, ::2] = False
    ow.sparsify_(model, ow.Plan({"a": ow.patterns.Pattern(odd_only)}), init="keep")
    units = strided_taps(chosen_layers(model, "a"))
    assert [(group.count, group.total) for group in units.groups] == [(36, 72)]
    for ratio, of, left in ((1 / 3, "live", 24), (2 / 3, "all", 24), (0.2, "all", 36)):
        mask = units.masks(drawn(units, 0, 0), ratio, of=of)["a"]
        assert units.count_alive({"a": mask}) == left
        assert np.ptp(mask[0, 1::2].sum(axis=(1, 2))) == 0


def test_the_scope_is_refused_before_anything_is_printed(
    network: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ow.ArgumentError, match="`scope`='global' does not go with"):
        prune.by_criterion(network("plain"), granularity="intra_kernel", ratio=0.5, scope="global")
    assert capsys.readouterr().err == ""
