"""Random keys that are the same on every platform and with every version of numpy.

Only the raw output of numpy's bit generators is promised to stay as it is; shuffles and choices
are not. Everything random here is therefore a comparison of raw 64-bit keys.
"""

import hashlib
from collections.abc import Iterator

import numpy as np


def layer_seed(seed: int, name: str) -> int:
    """A seed for the layer `name` under a plan's `seed`, independent of the layers beside it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


def stream(seed: int, purpose: str) -> np.random.PCG64:
    """A stream of its own for each (seed, purpose)."""
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
