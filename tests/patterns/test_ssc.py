"""Structured sparse convolution: its special cases are torch's own convolutions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_cases import peak_bytes
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseConv2d
from openwork.patterns import Pattern, dense, grouped, ssc


def _outputs(pattern: Pattern, dense_layer: nn.Conv2d, padding: int) -> tuple[torch.Tensor, ...]:
    """What a sparse layer with the weights of `dense_layer` computes, and what that computes."""
    sparse = SparseConv2d(pattern, padding=padding, bias=False, dtype=torch.float64)
    assert sparse.weight.numel() == dense_layer.weight.numel()
    with torch.no_grad():
        # Both go through their weights by filter, then channel, then tap.
        sparse.weight.copy_(dense_layer.weight.flatten())
        x = torch.randn(2, pattern.in_channels, 7, 6, dtype=torch.float64)
        return sparse(x), dense_layer(x)


@pytest.mark.parametrize("outputs", [12, 24])
@pytest.mark.parametrize("groups", [1, 2, 3, 12])
def test_with_all_taps_it_is_torchs_group_convolution(outputs: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(12, outputs, 3, padding=1, groups=groups, bias=False, dtype=torch.float64)
    for own in {1, groups}:
        pattern = ssc(outputs, 12, 3, groups=groups, layer_groups=own)
        assert pattern.groups == own
        torch.testing.assert_close(*_outputs(pattern, layer, padding=1))
    assert ssc(outputs, 12, 3, groups=groups, layer_groups=groups) == dense(
        outputs, 12, 3, groups=groups
    )


@pytest.mark.parametrize("groups", [1, 4])
def test_one_centre_tap_is_a_pointwise_convolution(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 1, groups=groups, bias=False, dtype=torch.float64)
    pattern = ssc(16, 8, 3, groups=groups, taps=1, cycle=False)
    torch.testing.assert_close(*_outputs(pattern, layer, padding=1))
    torch.testing.assert_close(*_outputs(ssc(16, 8, 1, groups=groups), layer, padding=0))


def test_one_group_with_all_taps_is_dense() -> None:
    for kernel in ((), 1, 3, (5, 1)):
        assert ssc(6, 4, kernel) == dense(6, 4, kernel)


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, int]:
    outputs, inputs = draw(st.sampled_from([4, 8, 12, 24])), draw(st.sampled_from([6, 12, 18]))
    common = math.gcd(outputs, inputs)
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    return {
        "out_channels": outputs,
        "in_channels": inputs,
        "kernel": kernel,
        "groups": draw(st.sampled_from([n for n in range(1, common + 1) if common % n == 0])),
        "taps": draw(st.integers(1, math.prod(kernel))),
        "shift": draw(st.integers(0, 4)),
        "order": draw(st.sampled_from(["contiguous", "rotating"])),
        "cycle": draw(st.booleans()),
    }


@settings(deadline=None)
@given(_cases())
def test_every_filter_and_every_channel_has_its_share(case: dict) -> None:
    pattern = ssc(**case)
    groups, window = case["groups"], math.prod(case["kernel"])
    assert pattern.density == pytest.approx(case["taps"] / (groups * window))
    assert set(pattern.fan_in.tolist()) == {case["in_channels"] // groups}
    assert set(pattern.fan_out.tolist()) == {case["out_channels"] // groups}
    kept = pattern.taps.reshape(*pattern.shape[:2], -1).sum(axis=2)
    assert set(kept[kept > 0].tolist()) == {case["taps"]}


@settings(deadline=None)
@given(_cases())
def test_neighbouring_channels_together_cover_the_window(case: dict) -> None:
    taps = ssc(**case | {"cycle": True}).taps.reshape(case["out_channels"], case["in_channels"], -1)
    enough = -(-taps.shape[2] // case["taps"])
    for filter_ in taps:
        kernels = filter_[filter_.any(axis=1)]
        for first in range(len(kernels) - enough + 1):
            assert kernels[first : first + enough].any(axis=0).all()


def test_the_taps_move_on_with_channels_filters_and_groups() -> None:
    numbered = ssc(4, 6, 3, groups=2, taps=3).taps.reshape(4, 6, 3, 3)
    rows = [[int(np.argmax(k.any(axis=1))) for k in f if k.any()] for f in numbered]
    assert rows == [[0, 1, 2], [1, 2, 0], [1, 2, 0], [2, 0, 1]]
    still = ssc(4, 6, 3, groups=1, taps=1, shift=0).taps
    assert (still == still[0]).all()


@pytest.mark.parametrize(
    ("taps", "cross"),
    [(1, ["...", ".#.", "..."]), (5, [".#.", "###", ".#."]), (9, ["###"] * 3)],
)
def test_without_cycling_the_taps_grow_from_the_centre(taps: int, cross: list[str]) -> None:
    pattern = ssc(2, 3, 3, taps=taps, cycle=False)
    drawn = np.array([[c == "#" for c in row] for row in cross])
    assert (pattern.taps == drawn).all()


@pytest.mark.parametrize("taps", [2, 9])
def test_rotating_groups_are_contiguous_ones_and_a_channel_shuffle(taps: int) -> None:
    contiguous, rotating = (
        ssc(12, 8, 3, groups=4, taps=taps, order=order).taps for order in ("contiguous", "rotating")
    )
    order = nn.ChannelShuffle(4)(torch.arange(12.0).view(1, 12, 1, 1)).long().flatten().numpy()
    assert np.array_equal(rotating, contiguous[order])


def test_a_layer_with_groups_of_its_own_takes_finer_ones() -> None:
    whole = ssc(16, 8, 3, groups=8, taps=4).taps
    for own in (1, 2, 4, 8):
        pattern = ssc(16, 8, 3, groups=8, taps=4, layer_groups=own)
        assert pattern.shape == (16, 8 // own, 3, 3)
        for group in range(own):
            filters = slice(group * 16 // own, (group + 1) * 16 // own)
            inputs = slice(group * 8 // own, (group + 1) * 8 // own)
            assert np.array_equal(pattern.taps[filters], whole[filters, inputs])


def test_grouped_is_ssc_with_all_taps() -> None:
    assert grouped(12, 8, 3, groups=4, order="rotating") == ssc(
        12, 8, 3, groups=4, order="rotating"
    )
    assert grouped(12, 8, groups=4).density == 0.25


def test_memory_grows_with_the_live_taps_only() -> None:
    def draw(size: int) -> Pattern:
        return ssc(size, size, 3, groups=size // 8, taps=1)

    assert peak_bytes(lambda: draw(4096)) < 5 * peak_bytes(lambda: draw(1024))
    assert peak_bytes(lambda: draw(4096)) < 120 * 4096 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 5}, "`groups`=5 must divide both .* feasible: 1, 2, 4"),
        ({"groups": 2, "layer_groups": 4}, "multiple of the layer's own 4 groups; feasible: 4"),
        ({"groups": 3, "layer_groups": 2}, "own 2 groups; feasible: 2, 4$"),
        ({"groups": 8, "layer_groups": 3}, "`layer_groups`=3 must divide both"),
        ({"taps": 10}, "`taps`=10 must be at most 9, the positions of a kernel of 3 x 3"),
        (
            {"taps": 2, "kernel": ()},
            "`taps`=2 must be at most 1, the positions of a kernel of one weight",
        ),
        ({"taps": 0}, "`taps`=0"),
        ({"shift": -1}, "`shift`=-1"),
        ({"order": "random"}, "'contiguous', 'rotating'"),
        ({"cycle": 0}, "`cycle`=0 must be true or false"),
    ],
)
def test_bad_parameters_name_the_possible_ones(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ssc(**{"out_channels": 8, "in_channels": 12, "kernel": 3} | arguments)


@pytest.mark.parametrize("shift", [9 * 10**20 + 4, 9 * 2**62 + 4])
def test_any_shift_is_that_many_turns_and_a_rest(shift: int) -> None:
    assert ssc(8, 8, 3, taps=2, shift=shift) == ssc(8, 8, 3, taps=2, shift=4)
