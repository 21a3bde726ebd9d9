"""The implementations behind the operators, fastest first, and why one is not taken."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """One implementation of the sparse operators.

    Attributes:
        name: as `openwork env` prints it.
        summary: what it is.
        why_not: gives None where it can run on this machine, else the reason it cannot.
    """

    name: str
    summary: str
    why_not: Callable[[], str | None]


BACKENDS = (
    Backend(
        "reference",
        "live weights expanded into torch's dense operators, one layer at a time",
        lambda: None,
    ),
)
