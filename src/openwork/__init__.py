"""openwork: convolutional networks that are mostly openings.

import openwork as ow

plan = ow.Plan({"conv:*": {"pattern": "random", "density": 0.1}})
ow.sparsify_(model, plan)      # then train with your own loop, or with ow.train.fit
ow.save(model, "model.safetensors", plan=plan)
"""

import importlib
import typing

from openwork import models as models
from openwork import nn as nn
from openwork import patterns as patterns
from openwork import prune as prune
from openwork._version import __version__ as __version__
from openwork.channels import ChannelReport as ChannelReport
from openwork.channels import Proof as Proof
from openwork.channels import SparsityHistory as SparsityHistory
from openwork.channels import compact as compact
from openwork.channels import observe as observe
from openwork.engine import CompiledModel as CompiledModel
from openwork.engine import compile as compile
from openwork.engine import profile as profile
from openwork.errors import ArgumentError as ArgumentError
from openwork.errors import CaptureError as CaptureError
from openwork.errors import CheckpointError as CheckpointError
from openwork.errors import DataError as DataError
from openwork.errors import MissingPackageError as MissingPackageError
from openwork.errors import OpenworkError as OpenworkError
from openwork.errors import PlanError as PlanError
from openwork.errors import VerificationError as VerificationError
from openwork.io import info as info
from openwork.io import load as load
from openwork.io import save as save
from openwork.nn import Plan as Plan
from openwork.nn import SparseConv2d as SparseConv2d
from openwork.nn import SparseLinear as SparseLinear
from openwork.nn import densify_ as densify_
from openwork.nn import grow_ as grow_
from openwork.nn import sparsify_ as sparsify_
from openwork.patterns import Pattern as Pattern

if typing.TYPE_CHECKING:
    from openwork import data as data
    from openwork import report as report
    from openwork import train as train

__all__ = [
    "ArgumentError",
    "CaptureError",
    "ChannelReport",
    "CheckpointError",
    "CompiledModel",
    "DataError",
    "MissingPackageError",
    "OpenworkError",
    "Pattern",
    "Plan",
    "PlanError",
    "Proof",
    "SparseConv2d",
    "SparseLinear",
    "SparsityHistory",
    "VerificationError",
    "__version__",
    "compact",
    "compile",
    "data",
    "densify_",
    "grow_",
    "info",
    "load",
    "models",
    "nn",
    "observe",
    "patterns",
    "profile",
    "prune",
    "report",
    "save",
    "sparsify_",
    "train",
]

# Imported on first use: they load torch's compiler and matplotlib, 110 MB that a program which only
# runs a network does not need.
_LATER = ("data", "report", "train")


def __getattr__(name: str) -> typing.Any:
    if name in _LATER:
        return importlib.import_module(f"openwork.{name}")
    raise AttributeError(f"module 'openwork' has no attribute {name!r}")
