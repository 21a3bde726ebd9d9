"""Verdicts on claims, from 95 % intervals over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from _study import interval

HELD, PART, FAILED, UNDECIDED = "held", "held in part", "did not hold", "undecided"
# What did not hold comes first.
ORDER = (FAILED, PART, UNDECIDED, HELD)


@dataclass(frozen=True)
class Finding:
    """What the rows say about a claim.

    Attributes:
        verdict: "held", "held in part", "did not hold" or "undecided".
        n: number of values.
        mean: their mean, NaN where there is not one number.
        half: half the width of the 95 % interval (Student's t), NaN for fewer than two values.
    """

    verdict: str
    n: int
    mean: float = math.nan
    half: float = math.nan


@dataclass(frozen=True)
class Claim:
    """A claim, what was measured for it, and what came of it.

    Attributes:
        text: the claim, and whose it is.
        measure: what the numbers are.
        finding: what the rows say.
        unit: unit of the numbers.
    """

    text: str
    measure: str
    finding: Finding
    unit: str


def at_least(sample: Sequence[float], bound: float) -> Finding:
    """Held if the whole interval lies at or above `bound`; did not hold if it lies below."""
    if not sample:
        return Finding(UNDECIDED, 0)
    mean, half = interval(sample)
    if math.isnan(half):
        verdict = UNDECIDED
    elif mean - half >= bound:
        verdict = HELD
    else:
        verdict = FAILED if mean + half < bound else UNDECIDED
    return Finding(verdict, len(sample), mean, half)


def no_loss(differences: Sequence[float], tolerance: float) -> Finding:
    """Held if a loss of `tolerance` or more can be excluded; did not hold if it is certain."""
    return at_least(differences, -tolerance)


def combined(findings: Sequence[Finding]) -> Finding:
    """Held, or did not hold, if all did; in part if some held; else undecided."""
    verdicts = {finding.verdict for finding in findings}
    if len(verdicts) == 1:
        verdict = verdicts.pop()
    else:
        verdict = PART if HELD in verdicts or PART in verdicts else UNDECIDED
    return Finding(verdict, sum(finding.n for finding in findings))
