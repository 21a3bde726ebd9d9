"""Verdicts on claims, from 95 % intervals over seeds."""

import dataclasses
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
        value: their mean or another statistic, NaN where there is not one number.
        low, high: its 95 % interval, NaN where there is none, as for a single value.
    """

    verdict: str
    n: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Claim:
    """A claim, what was measured for it, and what came of it.

    Attributes:
        text: the claim, and whose it is.
        measure: what the numbers are.
        finding: what the rows say.
        unit: unit of the numbers.
        part: which part of the claim, where the measure differs between scales.
    """

    text: str
    measure: str
    finding: Finding
    unit: str
    part: str = ""

    @property
    def about(self) -> str:
        """Which part of the claim it is, at whatever scale."""
        return self.part or self.measure


def at_least(sample: Sequence[float], bound: float) -> Finding:
    """Held if the whole interval (Student's t) lies at or above `bound`; failed if below."""
    if not sample:
        return Finding(UNDECIDED, 0)
    mean, half = interval(sample)
    return judged(len(sample), mean, mean - half, mean + half, bound)


def at_most(sample: Sequence[float], bound: float) -> Finding:
    """Held if the whole interval lies at or below `bound`; failed if above."""
    mirrored = at_least([-value for value in sample], -bound)
    return dataclasses.replace(
        mirrored, value=-mirrored.value, low=-mirrored.high, high=-mirrored.low
    )


def judged(n: int, value: float, low: float, high: float, bound: float) -> Finding:
    """The verdict on "at least `bound`" for `value` with a 95 % interval."""
    # Comparisons with NaN are false.
    verdict = HELD if low >= bound else FAILED if high < bound else UNDECIDED
    return Finding(verdict, n, value, low, high)


def rank_correlation(rho: float, n: int) -> Finding:
    """Whether Spearman's `rho` of `n` pairs is above zero.

    The interval is Fisher's, with the variance 1.06 / (n - 3) of Fieller and others (1957).
    """
    if n < 5:
        return Finding(UNDECIDED, n, rho)
    half = 1.96 * math.sqrt(1.06 / (n - 3))
    z = math.atanh(min(max(rho, -0.999999), 0.999999))
    return judged(n, rho, math.tanh(z - half), math.tanh(z + half), 0.0)


def no_loss(differences: Sequence[float], tolerance: float) -> Finding:
    """Held if a loss of `tolerance` or more can be excluded; did not hold if it is certain."""
    return at_least(differences, -tolerance)


def equal(differences: Sequence[float], within: float) -> Finding:
    """Held if the whole interval lies within `within` of zero; did not hold if it lies outside."""
    if not differences:
        return Finding(UNDECIDED, 0)
    mean, half = interval(differences)
    low, high = mean - half, mean + half
    outside = low > within or high < -within
    verdict = HELD if -within <= low and high <= within else FAILED if outside else UNDECIDED
    return Finding(verdict, len(differences), mean, low, high)


def combined(findings: Sequence[Finding]) -> Finding:
    """Held, or did not hold, if all did; in part if some held; else undecided."""
    verdicts = {finding.verdict for finding in findings}
    if len(verdicts) == 1:
        verdict = verdicts.pop()
    else:
        verdict = PART if HELD in verdicts or PART in verdicts else UNDECIDED
    return Finding(verdict, sum(finding.n for finding in findings))


def together(claims: Sequence[Claim]) -> list[Claim]:
    """`claims`, and after those of one text what they say together, if that decides it."""
    made = []
    for text in dict.fromkeys(claim.text for claim in claims):
        parts = [claim for claim in claims if claim.text == text]
        made += parts
        every = combined([part.finding for part in parts])
        if len(parts) > 1 and every.verdict != UNDECIDED:
            made.append(Claim(text, f"all {len(parts)} of these", every, ""))
    return made
