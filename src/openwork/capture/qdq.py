"""torch's operators of quantised networks, in the form that PT2E and its kin give.

They are in a library that torch registers when this file is imported.
"""

from typing import Any

import torch
from torch.ao.quantization.fx import _decomposed

__all__ = ["DEQUANTIZE", "DEQUANTIZE_CHANNELS", "QUANTIZE"]

_LIBRARY: Any = getattr(torch.ops, _decomposed.quantized_decomposed_lib.ns)

# (tensor, scale, zero point, least, most, dtype)
QUANTIZE = _LIBRARY.quantize_per_tensor.default
DEQUANTIZE = _LIBRARY.dequantize_per_tensor.default
# (tensor, scales, zero points, axis, least, most, dtype)
DEQUANTIZE_CHANNELS = _LIBRARY.dequantize_per_channel.default
