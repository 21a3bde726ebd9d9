"""What is connected? Patterns, and the generators that draw them before training."""

from openwork.patterns._keys import layer_seed as layer_seed
from openwork.patterns.block import block as block
from openwork.patterns.dense import dense as dense
from openwork.patterns.depth_multiplier import depth_multiplier as depth_multiplier
from openwork.patterns.from_weight import from_weight as from_weight
from openwork.patterns.grow import grow as grow
from openwork.patterns.pattern import Pattern as Pattern
from openwork.patterns.random import random as random
from openwork.patterns.spec import KINDS as KINDS
from openwork.patterns.spec import PatternSpec as PatternSpec

__all__ = [
    "KINDS",
    "Pattern",
    "PatternSpec",
    "block",
    "dense",
    "depth_multiplier",
    "from_weight",
    "grow",
    "layer_seed",
    "random",
]
