"""Successive halving: score many candidates on little data, and few on all of it."""

# Three rounds on 1/16, 1/4 and all of the data, each keeping a quarter of the candidates, cost
# 3/16 of scoring all candidates on all data.
_REDUCTION = 4
_ROUNDS = 3


def halving_rounds(candidates: int, halving: bool) -> list[tuple[float, int]]:
    """The rounds, in order: (share of the held-out data, candidates scored on it).

    The last share is 1. Without `halving` there is one round.

    Examples:
        >>> halving_rounds(100, halving=True)
        [(0.0625, 100), (0.25, 25), (1.0, 7)]
    """
    if not halving:
        return [(1.0, candidates)]
    rounds = range(_ROUNDS)
    return [
        (float(_REDUCTION) ** (k - _ROUNDS + 1), -(-candidates // _REDUCTION**k)) for k in rounds
    ]
