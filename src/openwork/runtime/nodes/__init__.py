"""Kinds of nodes; importing this makes all of them known to files."""

from openwork.runtime.nodes.conv import Conv as Conv
from openwork.runtime.nodes.elementwise import Add as Add
from openwork.runtime.nodes.elementwise import Affine as Affine
from openwork.runtime.nodes.elementwise import Gate as Gate
from openwork.runtime.nodes.function import Arithmetic as Arithmetic
from openwork.runtime.nodes.function import PointFunction as PointFunction
from openwork.runtime.nodes.function import PRelu as PRelu
from openwork.runtime.nodes.function import Softmax as Softmax
from openwork.runtime.nodes.function import Spread as Spread
from openwork.runtime.nodes.layout import Concat as Concat
from openwork.runtime.nodes.layout import Slice as Slice
from openwork.runtime.nodes.normalize import Dot as Dot
from openwork.runtime.nodes.normalize import Normalize as Normalize
from openwork.runtime.nodes.normalize import Reduce as Reduce
from openwork.runtime.nodes.pool import Mean as Mean
from openwork.runtime.nodes.pool import Pool as Pool
from openwork.runtime.nodes.quantised import ByteAdd as ByteAdd
from openwork.runtime.nodes.quantised import ByteConv as ByteConv
from openwork.runtime.nodes.quantised import ByteMean as ByteMean
from openwork.runtime.nodes.quantised import BytePool as BytePool
from openwork.runtime.nodes.quantised import Dequantize as Dequantize
from openwork.runtime.nodes.quantised import OnBytes as OnBytes
from openwork.runtime.nodes.quantised import Quantize as Quantize
from openwork.runtime.nodes.rearrange import Pad as Pad
from openwork.runtime.nodes.rearrange import Rearrange as Rearrange
from openwork.runtime.nodes.rearrange import Resample as Resample

__all__ = [
    "Add",
    "Affine",
    "Arithmetic",
    "ByteAdd",
    "ByteConv",
    "ByteMean",
    "BytePool",
    "Concat",
    "Conv",
    "Dequantize",
    "Dot",
    "Gate",
    "Mean",
    "Normalize",
    "OnBytes",
    "PRelu",
    "Pad",
    "PointFunction",
    "Pool",
    "Quantize",
    "Rearrange",
    "Reduce",
    "Resample",
    "Slice",
    "Softmax",
    "Spread",
]
