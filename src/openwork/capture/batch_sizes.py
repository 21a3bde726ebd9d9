"""Batch sizes for which a captured network is the original."""

import re
from collections.abc import Iterable
from typing import Any

from torch.export import ExportedProgram

from openwork.runtime.batch_sizes import BatchSizes

# How torch names the batch size of an input.
_SIZE = re.compile(r"L(?:\[[^\[\]]+\])+\.size\(\)\[0\]")


def batch_sizes_of(program: ExportedProgram, sizes: Iterable[Any]) -> BatchSizes:
    """What torch took for granted of the batch size when it captured `program`.

    Torch captures with two images or more and says nothing of one: that size counts as allowed if
    nothing else speaks against it, and must be tried.

    Args:
        program: with a free batch size.
        sizes: symbolic batch sizes of its inputs, which shall be equal.

    Raises:
        ValueError: torch took something for granted that is no condition on the batch size.
    """
    least, most = 1, None
    for size in sizes:
        # What torch found equal to another size has no range of its own.
        bounds = program.range_constraints.get(size.node.expr)
        if bounds is None:
            continue
        if bounds.lower > 2:
            least = max(least, int(bounds.lower))
        if bounds.upper.is_Integer:
            most = int(bounds.upper) if most is None else min(most, int(bounds.upper))
    # The bounds do not tell all: not that the batch is even, for instance.
    guards = dict.fromkeys(
        _SIZE.sub("batch", each) for each in getattr(program, "_guards_code", [])
    )
    known = {"batch == batch", f"batch >= {least}", f"batch > {least - 1}", f"batch <= {most}"}
    known |= set() if most is None else {f"batch < {most + 1}"}
    return BatchSizes(least, most, tuple(guard for guard in guards if guard not in known))
