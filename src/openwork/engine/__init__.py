"""Run it: networks compiled for inference on the CPU's own sparse kernels."""

from openwork.engine import saved as saved
from openwork.engine.compile import compile as compile
from openwork.engine.compiled import CompiledModel as CompiledModel
from openwork.engine.profile import profile as profile

__all__ = ["CompiledModel", "compile", "profile"]

saved.register()
