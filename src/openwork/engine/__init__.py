"""Run it: networks compiled for inference on sparse kernels of the CPU."""

from openwork.engine.compile import compile as compile
from openwork.engine.compiled import CompiledModel as CompiledModel
from openwork.engine.profile import profile as profile
from openwork.engine.restore import register
from openwork.engine.tune.clock import register as register_clock

__all__ = ["CompiledModel", "compile", "profile"]

register()
register_clock()
del register, register_clock
