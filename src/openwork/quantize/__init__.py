"""From float32 to int8: static post-training quantisation, checked."""

from openwork.quantize.quantize import quantize as quantize
from openwork.quantize.report import QuantizeReport as QuantizeReport
from openwork.quantize.saved import register

__all__ = ["QuantizeReport", "quantize"]

register()
del register
