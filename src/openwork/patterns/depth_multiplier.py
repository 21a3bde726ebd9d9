"""The dense baseline: a thinner network instead of a sparser one."""

import math
from numbers import Real

from openwork._arguments import check_count
from openwork.errors import ArgumentError

# Rounded to this many digits first: in floats 0.07 * 100 is slightly above 7, and a plain ceil
# would give 8 channels.
_DIGITS = 9


def depth_multiplier(width: int, alpha: float) -> int:
    """The width of a hidden layer under the depth multiplier `alpha`: ceil(alpha * width).

    Parameters and MACs scale with about alpha squared, so the dense counterpart of a sparse network
    has `alpha = sqrt(density)`.

    Args:
        width: channels (or features) at `alpha` = 1, at least 1.
        alpha: the multiplier, finite and above 0. The paper's are in (0, 1]; above 1 widens.

    Raises:
        ArgumentError: `width` is below 1, or `alpha` is not finite and above 0.

    Source: "The Power of Sparsity in Convolutional Neural Networks" (Changpinyo, Sandler,
    Zhmoginov 2017), the dense baseline and its matching rule.

    >>> depth_multiplier(64, 0.5)
    32
    """
    check_count("width", width)
    numeric = isinstance(alpha, Real) and not isinstance(alpha, bool)
    if not (numeric and math.isfinite(alpha) and alpha > 0):
        raise ArgumentError(f"`alpha`={alpha!r} must be a finite number above 0, such as 0.5")
    if not math.isfinite(alpha * width):
        raise ArgumentError(f"`alpha`={alpha!r} times `width`={width} must be a finite number")
    return max(1, math.ceil(round(alpha * width, _DIGITS)))
