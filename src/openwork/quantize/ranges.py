"""Ranges of activations: by their extremes, by percentiles, or by the least squared error."""

from dataclasses import dataclass, field

import torch

METHODS = ("minmax", "percentile", "mse")
# Of each value and batch, so that memory does not grow with the images' size.
_SAMPLES = 1 << 14


@dataclass(eq=False)
class Observed:
    """Numbers that a value takes.

    Attributes:
        low, high: the smallest and the largest, and zero.
        samples: some of them, at equal distances.
    """

    low: float = 0.0
    high: float = 0.0
    samples: list[torch.Tensor] = field(default_factory=list)

    def add(self, values: torch.Tensor) -> None:
        """Take in one batch, `(N, ...)`."""
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        flat = values.flatten()
        self.samples.append(flat[:: -(-len(flat) // _SAMPLES)].clone())

    def range(self, method: str, percentile: float) -> tuple[float, float]:
        """The smallest and the largest number that uint8 stands for."""
        if method == "minmax":
            return self.low, self.high
        found = torch.cat(self.samples).sort().values
        if method == "percentile":
            cut = int(len(found) * (1 - percentile / 100))
            return min(float(found[cut]), 0.0), max(float(found[-1 - cut]), 0.0)
        factors = torch.linspace(0.3, 1, 71).tolist()
        errors = [_error(found, self.low * each, self.high * each) for each in factors]
        best = factors[errors.index(min(errors))]
        return self.low * best, self.high * best


def scale_of(low: float, high: float) -> tuple[float, int]:
    """Scale, a float32 number, and zero point of uint8 for a range that holds zero."""
    scale = float(torch.tensor(max((high - low) / 255, 1e-12), dtype=torch.float32))
    return scale, min(max(round(-low / scale), 0), 255)


def _error(samples: torch.Tensor, low: float, high: float) -> float:
    scale, zero = scale_of(low, high)
    levels = torch.clamp(torch.round(samples / scale) + zero, 0, 255)
    return float(((levels - zero) * scale - samples).square().sum())
