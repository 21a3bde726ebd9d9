"""Ranges: extremes, percentiles that cut outliers off, and the least squared error."""

import pytest
import torch

from openwork.quantize.ranges import METHODS, Observed, scale_of


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"), [(0, 255, 1, 0), (-2, 8, 10 / 255, 51), (0, 0, 1e-12, 0)]
)
def test_scale_and_zero_point(low: float, high: float, scale: float, zero: int) -> None:
    found = scale_of(low, high)
    assert found == (pytest.approx(scale), zero)
    # What kernels hold in float32 is the same number.
    assert float(torch.tensor(found[0], dtype=torch.float32)) == found[0]


def test_each_method() -> None:
    observed = Observed()
    for part in (torch.linspace(-1, 1, 5000), torch.linspace(-1, 1, 4999), torch.tensor([100.0])):
        observed.add(part)
    found = {method: observed.range(method, 99.9) for method in METHODS}
    assert found["minmax"] == (-1, 100)
    assert found["percentile"] == pytest.approx((-1, 1), abs=0.01)
    low, high = found["mse"]
    # Cutting the outlier would cost more than all others gain.
    assert 0.9 <= high / 100 <= 1
    assert low / high == pytest.approx(-0.01)


def test_the_least_error_cuts_one_outlier() -> None:
    observed = Observed()
    for _ in range(10):
        observed.add(torch.linspace(0, 1, 1 << 14))
    observed.add(torch.tensor([1.2]))
    # Cut, it costs (1.2 - 1)^2; kept, it makes each of the steps a fifth longer.
    assert 0.98 <= observed.range("mse", 0)[1] <= 1.03
    assert observed.range("minmax", 0)[1] == pytest.approx(1.2)


def test_a_range_holds_zero_and_memory_is_bounded() -> None:
    observed = Observed()
    observed.add(torch.full((1 << 20,), 3.0))
    assert observed.range("minmax", 0) == observed.range("percentile", 99) == (0, 3)
    assert sum(map(len, observed.samples)) <= 1 << 14
