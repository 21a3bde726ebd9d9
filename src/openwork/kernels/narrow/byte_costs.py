"""What convolutions of bytes cost, by which their packing is chosen: cycles of a four of columns.

Measured where the name says, and fitted to whole networks. What differs is how fast four products
of bytes are taken: Cascade Lake begins two instructions of 64 each cycle, Zen 4 one, and processors
with neither VNNI nor AVX-512 need several instructions for 32. Bringing columns together takes all
of them about as long, so that it pays to multiply more in vain where multiplying is cheap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry


@dataclass(frozen=True)
class ByteCosts:
    """Cycles of a four, with the pixels of a tile.

    Attributes:
        interleave: bringing four columns together, in memory.
        product: multiplying them for 1, 2, 4 or 8 filters.
        direct: both at once, for the only block of a group; empty where kernels do not.
    """

    interleave: float
    product: Mapping[int, float]
    direct: Mapping[int, float]

    def of(self, blocks: np.ndarray, rows: int) -> np.ndarray:
        """The cost of one that so many blocks of a group read, each of `rows` filters."""
        stored = self.interleave + blocks * self.product[rows]
        return np.where(blocks == 1, self.direct.get(rows, stored), stored)


_CASCADE_LAKE = ByteCosts(15.0, {1: 5.0, 2: 5.5, 4: 9.5, 8: 19.0}, {4: 23.0, 8: 33.0})
_ZEN4 = ByteCosts(13.0, {1: 6.0, 2: 8.5, 4: 16.5, 8: 32.0}, {4: 22.0, 8: 34.0})
# 32 pixels and 16 registers, which take four filters at most.
_NARROW = ByteCosts(10.0, {1: 4.0, 2: 7.0, 4: 13.0}, {4: 25.0})


def byte_costs(isa: str, geometry: Geometry, plain: bool) -> ByteCosts:
    """Those of a layer.

    Args:
        isa: one of the extension's `byte_isas`.
        geometry: of the layer.
        plain: whether it reads each channel at its own pixel alone.
    """
    costs = _CASCADE_LAKE
    if _C.is_narrow(isa):
        costs = _NARROW
    elif _C.halves_vectors(isa):
        costs = _ZEN4
    height, width = geometry.size
    apart = plain and height * width > _C.most_direct_map
    return replace(costs, direct={}) if apart else costs
