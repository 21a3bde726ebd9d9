"""The batch sizes for which a captured network computes what the original does."""

import re
from collections.abc import Iterable
from typing import Any

from torch.export import ExportedProgram

from openwork.runtime.batch_sizes import BatchSizes

# How torch names the batch size of an input.
_SIZE = re.compile(r"L(?:\[[^\[\]]+\])+\.size\(\)\[0\]")


def batch_sizes_of(program: ExportedProgram, sizes: Iterable[Any]) -> BatchSizes:
    """What torch assumed about the batch size when it captured `program`.

    Torch captures with two images or more and says nothing about one. One counts as allowed if no
    bound or condition excludes it, and must be tried.

    Args:
        program: captured with a free batch size.
        sizes: the symbolic batch sizes of its inputs, which must be equal.

    Raises:
        ValueError: torch assumed something that is not a condition on the batch size.
    """
    least, most = 1, None
    for size in sizes:
        # A size that torch found equal to another one has no range.
        bounds = program.range_constraints.get(size.node.expr)
        if bounds is None:
            continue
        if bounds.lower > 2:
            least = max(least, int(bounds.lower))
        if bounds.upper.is_Integer:
            most = int(bounds.upper) if most is None else min(most, int(bounds.upper))
    # Bounds do not say everything, for instance that the batch size is even.
    guards = dict.fromkeys(
        _SIZE.sub("batch", each) for each in getattr(program, "_guards_code", [])
    )
    implied = {"batch == batch", f"batch >= {least}", f"batch > {least - 1}", f"batch <= {most}"}
    implied |= set() if most is None else {f"batch < {most + 1}"}
    return BatchSizes(least, most, tuple(guard for guard in guards if guard not in implied))
