"""From float32 to int8: static post-training quantisation, checked."""

from openwork.quantize.quantize import QuantizeReport as QuantizeReport
from openwork.quantize.quantize import quantize as quantize

__all__ = ["QuantizeReport", "quantize"]
