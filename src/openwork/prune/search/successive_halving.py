"""Successive halving: many candidates on little data, few on all of it."""

# Three rungs on 1/16, 1/4 and all of the data, a quarter of the candidates going on from each,
# cost 3/16 of scoring all of them on all data.
_KEEP = 4
_RUNGS = 3


def rungs(candidates: int, halving: bool) -> list[tuple[float, int]]:
    """(share of the held-out data, candidates scored on it), in order; the last share is 1."""
    if not halving:
        return [(1.0, candidates)]
    steps = range(_RUNGS)
    return [(float(_KEEP) ** (k - _RUNGS + 1), -(-candidates // _KEEP**k)) for k in steps]
