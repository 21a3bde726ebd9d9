"""Ranges: extremes, percentiles that cut outliers off, and the least squared error."""

import importlib

import pytest
import torch

from openwork.quantize.ranges import METHODS, Observed, scale_of

ranges = importlib.import_module("openwork.quantize.ranges")


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"), [(0, 255, 1, 0), (-2, 8, 10 / 255, 51), (0, 0, 1e-12, 0)]
)
def test_scale_and_zero_point(low: float, high: float, scale: float, zero: int) -> None:
    found = scale_of(low, high)
    assert found == (pytest.approx(scale), zero)
    # What kernels hold in float32 is the same number.
    assert float(torch.tensor(found[0], dtype=torch.float32)) == found[0]


def _observed(method: str, *parts: torch.Tensor, percentile: float = 99.9) -> Observed:
    observed = Observed(method, percentile)
    for part in parts:
        observed.add(part)
    return observed


def test_each_method() -> None:
    parts = torch.linspace(-1, 1, 5000), torch.linspace(-1, 1, 4999), torch.tensor([100.0])
    found = {method: _observed(method, *parts).range() for method in METHODS}
    assert found["minmax"] == (-1, 100)
    # Ten of 10,000 on either side, in bins of a sixty-fourth.
    assert found["percentile"] == pytest.approx((-1, 1), abs=0.02)
    low, high = found["mse"]
    # Cutting the outlier would cost more than all others gain.
    assert 0.9 <= high / 100 <= 1
    assert low / high == pytest.approx(-0.01)


def test_the_least_error_cuts_one_outlier() -> None:
    parts = [torch.linspace(0, 1, 1 << 14)] * 10 + [torch.tensor([1.2])]
    # Cut, it costs (1.2 - 1)^2; kept, it makes each of the steps a fifth longer.
    assert 0.98 <= _observed("mse", *parts).range()[1] <= 1.03
    assert _observed("minmax", *parts).range()[1] == pytest.approx(1.2)


def test_percentiles_count_every_number() -> None:
    # The large ones stand in one column of each map, as at an image's border.
    maps = torch.rand(2, 4, 32, 128, generator=torch.Generator().manual_seed(0))
    maps[..., 0] += 1
    _, high = _observed("percentile", *maps, percentile=99).range()
    # Of 128 columns one lies above 1: 1 % of all numbers are more than that column.
    assert high == pytest.approx(1, abs=0.01)
    _, high = _observed("percentile", *maps, percentile=99.5).range()
    expected = maps.flatten().kthvalue(int(maps.numel() * 0.995)).values
    assert high == pytest.approx(float(expected), abs=2e-3)


def test_a_range_that_grows_keeps_its_counts() -> None:
    small, large = torch.linspace(-1, 1, 1001), torch.linspace(-1, 1, 1001) * 37
    for method in ("percentile", "mse"):
        grown = _observed(method, small, large, percentile=99).range()
        assert grown == pytest.approx(_observed(method, large, small, percentile=99).range(), 0.01)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_not_taken_in(method: str, wrong: float) -> None:
    observed = _observed(method, torch.tensor([-1.0, 2.0]), percentile=100)
    before = observed.range()
    assert not observed.add(torch.tensor([5.0, wrong, -5.0]))
    assert observed.range() == before
    assert observed.add(torch.tensor([5.0]))
    assert observed.range() != before


def test_a_range_holds_zero() -> None:
    values = torch.full((1 << 20,), 3.0)
    for method in ("minmax", "percentile"):
        assert _observed(method, values).range() == (0, 3)
        assert _observed(method, torch.zeros(5)).range() == (0, 0)
        assert _observed(method, -values).range() == (-3, 0)


def test_more_numbers_than_float32_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_MOST_COUNTED", 7)
    values = torch.linspace(0, 1, 100)
    whole = _observed("percentile", values, percentile=90).range()
    monkeypatch.undo()
    assert whole == _observed("percentile", values, percentile=90).range()
    assert whole[1] == pytest.approx(0.9, abs=0.01)
