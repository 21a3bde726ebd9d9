"""The feasible range of a ratio: every ratio inside it can be reached, and none outside."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import openwork as ow
from openwork import prune
from openwork.prune.units.kernels import kernel_units
from openwork.prune.units.layers import chosen_layers
from openwork.prune.units.units import count_to_cut, ratio_for

Build = Callable[[str], nn.Module]


@given(
    st.integers(2, 400).flatmap(lambda total: st.tuples(st.integers(2, total), st.just(total))),
    st.floats(0, 1),
    st.sampled_from(["live", "all"]),
)
def test_what_is_feasible_leaves_one_and_is_met_to_half_a_unit(
    counts: tuple[int, int], share: float, of: str
) -> None:
    count, total = counts
    highest = ratio_for(count - 1, count, total, of)
    cut = count_to_cut(share * highest, count, total, of)
    assert 0 <= cut <= count - 1
    assert count_to_cut(min(1.0, math.nextafter(highest, 2)), count, total, of) >= count - 1
    if of == "live":
        assert abs(cut - share * highest * count) <= 0.5 + 1e-9
    elif cut:
        assert abs(cut + (total - count) - share * highest * total) <= 0.5 + 1e-9


@pytest.mark.parametrize("ratio", [1.0, 1.5, -0.1, math.nan, "half", True])
def test_other_ratios_name_the_feasible_range(ratio: float, network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match=r"`ratio`=.* must lie in \[0, 0.9921\]"):
        prune.by_criterion(network("plain"), ratio=ratio, layers=["a", "last"], progress=False)


def test_the_message_names_the_layer_that_limits_the_ratio(network: Build) -> None:
    units = kernel_units(chosen_layers(network("plain"), ["a", "last"]))
    with pytest.raises(ow.ArgumentError, match=r"\[0, 0.9921\].* layer 'a' has 64 kernels only"):
        units.check_ratio(1.0)


def test_the_range_that_is_named_can_be_typed_in(network: Build) -> None:
    model = network("plain")
    pattern = prune.by_criterion(model, ratio=0.9921, layers="a", progress=False).resolve(model)[
        "a"
    ]
    assert len(pattern.connections) == 1


def test_global_scope_leaves_something_of_each_layer(network: Build) -> None:
    units = kernel_units(chosen_layers(network("plain"), ["a", "last"]))
    scores = [np.zeros(64), np.ones(120)]
    highest = units.max_ratio("global", "live")
    masks = units.masks(scores, highest, "global")
    assert [int(mask.any(axis=(2, 3)).sum()) for mask in masks.values()] == [1, 1]
    with pytest.raises(ow.ArgumentError, match="must lie in"):
        units.masks(scores, 0.9999, "global")


def test_unknown_scopes_and_shares_are_refused(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match="`scope`='net'"):
        prune.by_criterion(network("plain"), ratio=0.5, scope="net")
    with pytest.raises(ow.ArgumentError, match="`of`='dead'"):
        prune.by_criterion(network("plain"), ratio=0.5, of="dead")
