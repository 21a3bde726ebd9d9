"""The implementations behind the operators, fastest first, and why one cannot run here."""

from collections.abc import Callable
from dataclasses import dataclass

from openwork.kernels.native import extension, reason_missing


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


def _describe_native() -> str:
    if reason_missing is not None:
        return "compiled C++ kernels"
    return f"compiled C++ kernels for {', '.join(extension.usable_isas())}, for `openwork.compile`"


BACKENDS = (
    Backend("native", _describe_native(), lambda: reason_missing),
    Backend(
        "reference",
        "live weights expanded into torch's dense operators, one layer at a time",
        lambda: None,
    ),
)
