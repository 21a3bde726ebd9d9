"""Kinds of nodes; importing this makes all of them known to files."""

from openwork.runtime.nodes.conv import Conv as Conv
from openwork.runtime.nodes.elementwise import Add as Add
from openwork.runtime.nodes.elementwise import Affine as Affine
from openwork.runtime.nodes.elementwise import Gate as Gate
from openwork.runtime.nodes.layout import Concat as Concat
from openwork.runtime.nodes.layout import Slice as Slice
from openwork.runtime.nodes.pool import Mean as Mean
from openwork.runtime.nodes.pool import Pool as Pool

__all__ = ["Add", "Affine", "Concat", "Conv", "Gate", "Mean", "Pool", "Slice"]
