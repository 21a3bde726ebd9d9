"""Ranges of activations: by their extremes, by percentiles, or by the least squared error."""

import math
from dataclasses import dataclass

import torch

__all__ = ["METHODS"]

METHODS = ("minmax", "percentile", "mse")
# On either side of zero. A step of uint8 is 32 bins wide or more.
_BINS = 1 << 13
# torch.histc counts in float32.
_MOST_COUNTED = 1 << 24


@dataclass(eq=False)
class Observed:
    """Numbers that a value takes.

    Args:
        method: how their range is found, one of `METHODS`.
        percentile: with "percentile", how many percent of the numbers lie within.

    Attributes:
        low, high: the smallest and the largest, and zero.
    """

    method: str
    percentile: float = 100.0
    low: float = 0.0
    high: float = 0.0
    _width: float = 0.0

    def __post_init__(self) -> None:
        self._counts = torch.zeros(2 * _BINS, dtype=torch.int64)

    def add(self, values: torch.Tensor) -> bool:
        """Take in one batch, `(N, ...)`; False, and nothing is, if a number is not finite."""
        low, high = map(float, values.aminmax())
        if not math.isfinite(high - low):
            return False
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.method != "minmax":
            self._widen(max(-self.low, self.high))
            limit = self._width * _BINS
            for part in values.flatten().split(_MOST_COUNTED):
                self._counts += torch.histc(part, 2 * _BINS, -limit, limit).long()
        return True

    def range(self) -> tuple[float, float]:
        """The smallest and the largest number that uint8 stands for."""
        if self.method == "minmax":
            return self.low, self.high
        if self.method == "percentile":
            return self._percentile()
        # Thousands of numbers stand in one bin: its middle is counted so often.
        at = self._counts.nonzero().flatten()
        numbers, counts = (at - _BINS + 0.5) * self._width, self._counts[at].double()
        factors = torch.linspace(0.3, 1, 71).tolist()
        errors = [_error(numbers, counts, self.low * f, self.high * f) for f in factors]
        best = factors[errors.index(min(errors))]
        return self.low * best, self.high * best

    def _widen(self, most: float) -> None:
        """Let the bins reach to `most`; neighbours are joined, so that no count is lost."""
        self._width = self._width or most / _BINS or 1 / _BINS
        while self._width * _BINS < most:
            joined = self._counts.view(-1, 2).sum(1)
            self._counts.zero_()[_BINS // 2 : _BINS // 2 + _BINS] = joined
            self._width *= 2

    def _percentile(self) -> tuple[float, float]:
        cut = int(int(self._counts.sum()) * (1 - self.percentile / 100))
        first = int((self._counts.cumsum(0) > cut).nonzero()[0])
        last = 2 * _BINS - 1 - int((self._counts.flip(0).cumsum(0) > cut).nonzero()[0])
        low, high = (first - _BINS) * self._width, (last + 1 - _BINS) * self._width
        return min(max(low, self.low), 0.0), max(min(high, self.high), 0.0)


def scale_of(low: float, high: float) -> tuple[float, int]:
    """Scale, a float32 number, and zero point of uint8 for a range that holds zero."""
    scale = float(torch.tensor(max((high - low) / 255, 1e-12), dtype=torch.float32))
    return scale, min(max(round(-low / scale), 0), 255)


def _error(numbers: torch.Tensor, counts: torch.Tensor, low: float, high: float) -> float:
    scale, zero = scale_of(low, high)
    levels = torch.clamp(torch.round(numbers / scale) + zero, 0, 255)
    return float((counts * ((levels - zero) * scale - numbers).square()).sum())
