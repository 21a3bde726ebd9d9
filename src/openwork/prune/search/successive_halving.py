"""Successive halving: score many candidates on little data, and few on all of it."""

import math

# Three rounds on 1/16, 1/4 and all of the data, each keeping a quarter of the candidates, cost
# 3/16 of scoring all candidates on all data.
_REDUCTION = 4
_ROUNDS = 3


def halving_rounds(
    candidates: int, halving: bool, images: int | None = None
) -> list[tuple[float, int]]:
    """The rounds, in order: (share of the held-out data, candidates scored on it).

    The last share is 1. Without `halving` there is one round. Rounds on fewer than one of the
    `images` per candidate, where some must tie, are left out.

    Examples:
        >>> halving_rounds(100, halving=True)
        [(0.0625, 100), (0.25, 25), (1.0, 7)]
        >>> halving_rounds(100, halving=True, images=1000)  # 63 of them would be the first share
        [(0.25, 100), (1.0, 25)]
    """
    if not halving:
        return [(1.0, candidates)]
    shares = [float(_REDUCTION) ** (k - _ROUNDS + 1) for k in range(_ROUNDS)]
    while images is not None and len(shares) > 1 and math.ceil(shares[0] * images) < candidates:
        shares.pop(0)
    return [(share, -(-candidates // _REDUCTION**k)) for k, share in enumerate(shares)]
