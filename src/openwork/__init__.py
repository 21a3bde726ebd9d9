"""openwork: convolutional networks that are mostly openings.

import openwork as ow

plan = ow.Plan({"conv:*": {"pattern": "random", "density": 0.1}})
ow.sparsify_(model, plan)      # then train with your own loop, or with ow.train.fit
ow.save(model, "model.safetensors", plan=plan)
"""

import importlib
import sys
import types
import typing

from openwork._version import __version__ as __version__
from openwork.errors import ArgumentError as ArgumentError
from openwork.errors import CaptureError as CaptureError
from openwork.errors import CheckpointError as CheckpointError
from openwork.errors import DataError as DataError
from openwork.errors import MissingPackageError as MissingPackageError
from openwork.errors import OpenworkError as OpenworkError
from openwork.errors import PlanError as PlanError
from openwork.errors import VerificationError as VerificationError
from openwork.errors import missing_extra as _missing_extra

if typing.TYPE_CHECKING:
    from openwork import data as data
    from openwork import models as models
    from openwork import nn as nn
    from openwork import patterns as patterns
    from openwork import prune as prune
    from openwork import report as report
    from openwork import train as train
    from openwork.compact import CompactReport as CompactReport
    from openwork.compact import compact as compact
    from openwork.engine import CompiledModel as CompiledModel
    from openwork.engine import compile as compile
    from openwork.engine import profile as profile
    from openwork.interchange import export_onnx as export_onnx
    from openwork.interchange import from_onnx as from_onnx
    from openwork.io import adopt_ as adopt_
    from openwork.io import info as info
    from openwork.io import load as load
    from openwork.io import load_weights_ as load_weights_
    from openwork.io import save as save
    from openwork.nn import Plan as Plan
    from openwork.nn import SparseConv1d as SparseConv1d
    from openwork.nn import SparseConv2d as SparseConv2d
    from openwork.nn import SparseLinear as SparseLinear
    from openwork.nn import densify_ as densify_
    from openwork.nn import grow_ as grow_
    from openwork.nn import sparsify_ as sparsify_
    from openwork.observe import ChannelReport as ChannelReport
    from openwork.observe import SparsityHistory as SparsityHistory
    from openwork.observe import observe as observe
    from openwork.patterns import Pattern as Pattern
    from openwork.quantize import QuantizeReport as QuantizeReport
    from openwork.quantize import quantize as quantize

__all__ = [
    "ArgumentError",
    "CaptureError",
    "ChannelReport",
    "CheckpointError",
    "CompactReport",
    "CompiledModel",
    "DataError",
    "MissingPackageError",
    "OpenworkError",
    "Pattern",
    "Plan",
    "PlanError",
    "QuantizeReport",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLinear",
    "SparsityHistory",
    "VerificationError",
    "__version__",
    "adopt_",
    "compact",
    "compile",
    "data",
    "densify_",
    "export_onnx",
    "from_onnx",
    "grow_",
    "info",
    "load",
    "load_weights_",
    "models",
    "nn",
    "observe",
    "patterns",
    "profile",
    "prune",
    "quantize",
    "report",
    "save",
    "sparsify_",
    "train",
]

# Imported when first used: torch alone takes longer to import than a compiled network to load, and
# `openwork.runtime` runs without it.
_ROOMS = ("data", "models", "nn", "patterns", "prune", "report", "train")
_NAMES = {
    "openwork.compact": ("CompactReport", "compact"),
    "openwork.engine": ("CompiledModel", "compile", "profile"),
    "openwork.interchange": ("export_onnx", "from_onnx"),
    "openwork.io": ("adopt_", "info", "load", "load_weights_", "save"),
    "openwork.nn": (
        "Plan",
        "SparseConv1d",
        "SparseConv2d",
        "SparseLinear",
        "densify_",
        "grow_",
        "sparsify_",
    ),
    "openwork.observe": ("ChannelReport", "SparsityHistory", "observe"),
    "openwork.patterns": ("Pattern",),
    "openwork.quantize": ("QuantizeReport", "quantize"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> typing.Any:
    if name in _ROOMS:
        return _imported(f"openwork.{name}", name)
    if name not in _HOMES:
        raise AttributeError(f"module 'openwork' has no attribute {name!r}")
    globals()[name] = value = getattr(_imported(_HOMES[name], name), name)
    return value


def _imported(module: str, name: str) -> types.ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing_extra(f"openwork.{name}", error) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps `openwork.compact` the function: importing the room of that name would hide it."""

    def __setattr__(self, name: str, value: typing.Any) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
