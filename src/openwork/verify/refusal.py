"""`refusal`: the error for a rewritten network whose outputs are not the original's."""

from torch import nn

from openwork.errors import VerificationError
from openwork.verify.compare import OutputDifference
from openwork.verify.rounding import rounding


def refusal(
    rewritten: str, found: OutputDifference, original: nn.Module, tolerance: float, cause: str = ""
) -> VerificationError:
    """The error, which says how much of the difference the original's own rounding explains.

    Args:
        rewritten: the rewritten network in words, such as "the compiled network".
        found: a difference that does not hold, and its inputs `(N, ...)`.
        original: the network that was rewritten.
        tolerance: what `found` exceeds.
        cause: why, if that is known, such as "even with every channel in place"; default "".
    """
    cause = f", {cause}" if cause else ""
    if found.relative == float("inf"):
        return VerificationError(
            f"{rewritten}'s results are of another shape or dtype than the original's, or have "
            f"infinities or NaNs in other places{cause}; the original is unchanged"
        )
    return VerificationError(
        f"{rewritten} differs from the original by {found.relative:.2e} of its largest output, "
        f"more than `tolerance`={tolerance}{cause}; {_rounding(found, original, tolerance)}the "
        "original is unchanged"
    )


def _rounding(found: OutputDifference, original: nn.Module, tolerance: float) -> str:
    """What float32 alone explains, if that is much and float64 could not decide."""
    own = 0.0 if found.in_float64 is not None else rounding(original, found.inputs)
    if own < tolerance / 10 or not own:
        return ""
    return (
        f"in float32 the original's own outputs are off by {own:.2e}, so a larger `tolerance` may "
        "be right; "
    )
