"""Is it still the same network? One comparison of outputs for every rewrite."""

from openwork.verify.compare import Case as Case
from openwork.verify.difference import difference as difference
from openwork.verify.difference import rounding as rounding

__all__ = ["Case", "difference", "rounding"]
