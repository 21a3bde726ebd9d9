"""Weights split so that AVX2 may add their products in 16 bits, and lose nothing.

`vpmaddubsw` multiplies bytes with weights and adds neighbours in 16 bits, where it saturates. Sums
of products hold if the weights of one sign in them add up to 128 at most: 255 * 128 < 2^15. Two
fours (four columns with their weights) whose pairs hold so together are multiplied in one go. What
weights exceed that by is put into more fours, which other filters of the block do not share.
"""

from dataclasses import dataclass

import numpy as np

MOST = 128
"""The largest sum of the weights of one sign in a pair."""


@dataclass(frozen=True, eq=False)
class SplitWeights:
    """The fours of a block.

    Attributes:
        order: `(fours,)`: the given four at each place. Two at a time fit, then a last one alone.
        weight: `(rows, fours, 4)` int8, in that order.
        rest_four: `(entries, rows)`: a given four for each row.
        rest_weight: `(entries, rows, 4)` int8, which each fit alone.
    """

    order: np.ndarray
    weight: np.ndarray
    rest_four: np.ndarray
    rest_weight: np.ndarray


def split_weights(block: np.ndarray) -> SplitWeights:
    """Order the fours of `block`, `(rows, fours, 4)` int8, and split weights that do not fit.

    The sum of a filter's products stays the same.
    """
    rows, fours = block.shape[:2]
    # The heaviest four goes with the lightest.
    by_weight = np.argsort(_sums(block).max(axis=(0, 2, 3), initial=0), kind="stable")
    half = fours // 2
    order = np.empty(fours, np.int64)
    order[: 2 * half : 2] = by_weight[:half]
    order[1 : 2 * half : 2] = by_weight[::-1][:half]
    order[2 * half :] = by_weight[half : fours - half]
    wanted = block[:, order].astype(np.int16)
    first = np.ones(fours, bool)
    first[1 : 2 * half : 2] = False
    kept = np.zeros_like(wanted)
    kept[:, first] = _within(wanted[:, first], MOST)
    taken = _sums(kept[:, : 2 * half : 2])
    kept[:, ~first] = _within(wanted[:, ~first], MOST - taken)
    left = wanted - kept
    rests: list[np.ndarray] = []
    while left.any():
        some = _within(left, MOST)
        rests.append(some)
        left = left - some
    four = np.broadcast_to(np.tile(order, len(rests)), (rows, len(rests) * fours))
    rest = np.concatenate([*rests, np.zeros((rows, 0, 4), np.int16)], axis=1)
    # Those of each row first; the row that has the most sets their number.
    found = rest.any(axis=2)
    entries = int(found.sum(axis=1).max(initial=0))
    places = np.argsort(~found, axis=1, kind="stable")[:, :entries]
    return SplitWeights(
        order,
        kept.astype(np.int8),
        np.take_along_axis(four, places, 1).T,
        np.take_along_axis(rest, places[:, :, None], 1).swapaxes(0, 1).astype(np.int8),
    )


def _sums(fours: np.ndarray) -> np.ndarray:
    """`(..., pairs, 2)`: what the positive and the negative weights of each pair add up to."""
    pairs = fours.reshape(*fours.shape[:-1], 2, 2).astype(np.int16)
    return np.stack([np.maximum(pairs, 0).sum(-1), np.maximum(-pairs, 0).sum(-1)], -1)


def _within(fours: np.ndarray, room: np.ndarray | int) -> np.ndarray:
    """The largest part of the weights that `room`, as `_sums` has it, leaves place for."""
    pairs = fours.reshape(*fours.shape[:-1], 2, 2)
    signed = np.stack([np.maximum(pairs, 0), np.maximum(-pairs, 0)], -2)
    room = np.broadcast_to(np.asarray(room, np.int16), signed.shape[:-1])
    one = np.minimum(signed[..., 0], room)
    two = np.minimum(signed[..., 1], room - one)
    part = np.stack([one, two], -1)
    return (part[..., 0, :] - part[..., 1, :]).reshape(fours.shape)
