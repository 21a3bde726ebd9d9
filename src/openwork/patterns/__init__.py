"""What is connected? Patterns, and the generators that draw them before training."""

from openwork.patterns.block import block as block
from openwork.patterns.clash_free import clash_free as clash_free
from openwork.patterns.clash_free import clash_free_count as clash_free_count
from openwork.patterns.dense import dense as dense
from openwork.patterns.depth_multiplier import depth_multiplier as depth_multiplier
from openwork.patterns.from_weight import from_weight as from_weight
from openwork.patterns.grouped import grouped as grouped
from openwork.patterns.grow import grow as grow
from openwork.patterns.keys import layer_seed as layer_seed
from openwork.patterns.pattern import Pattern as Pattern
from openwork.patterns.random import random as random
from openwork.patterns.scatter import Scatter as Scatter
from openwork.patterns.scatter import WindowAdjacency as WindowAdjacency
from openwork.patterns.scatter import scatter as scatter
from openwork.patterns.spec import KINDS as KINDS
from openwork.patterns.spec import PatternSpec as PatternSpec
from openwork.patterns.ssc import ssc as ssc
from openwork.patterns.structured import structured as structured
from openwork.patterns.windows import Windows as Windows

__all__ = [
    "KINDS",
    "Pattern",
    "PatternSpec",
    "Scatter",
    "WindowAdjacency",
    "Windows",
    "block",
    "clash_free",
    "clash_free_count",
    "dense",
    "depth_multiplier",
    "from_weight",
    "grouped",
    "grow",
    "layer_seed",
    "random",
    "scatter",
    "ssc",
    "structured",
]
