"""How many threads a call uses."""

import os

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.kernels.native import extension as _C

__all__ = ["threads_of", "usable_threads"]


def threads_of(threads: int | None) -> int:
    """`threads` if given, else those that this process may use.

    Raises:
        ArgumentError: it is not a whole number from 1 to 4,096, the most that kernels take.
    """
    if threads is None:
        return min(usable_threads(), _C.most_threads)
    if check_count("threads", threads) > _C.most_threads:
        raise ArgumentError(
            f"`threads`={threads!r} must be at most {_C.most_threads}; more than the machine has "
            "processors only make calls slower"
        )
    return threads


def usable_threads() -> int:
    """`OMP_NUM_THREADS` if it is set, else the number of processors that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
