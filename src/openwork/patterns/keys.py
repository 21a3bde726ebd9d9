"""Random keys that are the same on every platform and with every version of numpy.

numpy guarantees that the raw output of its bit generators never changes, but not that of shuffles
and choices. So everything random here is a comparison of raw 64-bit keys.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

__all__ = ["shuffled", "stream"]


def layer_seed(seed: int, name: str) -> int:
    """The seed of layer `name` under a plan's `seed`; it does not depend on other layers.

    >>> layer_seed(0, "features.0") == layer_seed(0, "features.0")
    True
    >>> layer_seed(0, "features.0") == layer_seed(0, "features.3")
    False
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


def stream(seed: int, purpose: str) -> np.random.PCG64:
    """An independent random stream for each (seed, purpose)."""
    return np.random.PCG64(layer_seed(seed, purpose))


def shuffled(count: int, bits: np.random.PCG64) -> np.ndarray:
    """The numbers 0..count-1 (count,) in random order, int64."""
    return np.argsort(bits.random_raw(count), kind="stable")


def key_rows(rows: int, columns: int, bits: np.random.PCG64) -> Iterator[tuple[int, np.ndarray]]:
    """A (rows, columns) matrix of keys in slices `(first row, keys)` of about a million each."""
    step = max(1, (1 << 20) // columns)
    for first in range(0, rows, step):
        count = min(step, rows - first)
        yield first, bits.random_raw(count * columns).reshape(count, columns)
