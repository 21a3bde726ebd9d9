"""What a user may import: the lists are pinned, and every name on them is documented."""

import importlib
import inspect
import subprocess
import sys

import pytest

import openwork as ow
from openwork.errors import OpenworkError

EXPORTS = {
    "openwork": [
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
    ],
    "openwork.patterns": [
        "KINDS",
        "Pattern",
        "PatternSpec",
        "Scatter",
        "WindowAdjacency",
        "Windows",
        "block",
        "clash_free",
        "clash_free_count",
        "dense",
        "depth_multiplier",
        "from_weight",
        "grouped",
        "grow",
        "layer_seed",
        "random",
        "scatter",
        "ssc",
        "structured",
    ],
    "openwork.kernels": [],
    "openwork.runtime": ["Network", "load"],
    "openwork.ops": ["BACKENDS", "Backend", "sparse_conv2d", "sparse_linear"],
    "openwork.nn": [
        "MemoryUse",
        "Plan",
        "SSCBlock",
        "SparseConv2d",
        "SparseLayer",
        "SparseLinear",
        "Table",
        "count_macs",
        "densify_",
        "grow_",
        "memory_use",
        "sparsify_",
        "ssc_plan",
    ],
    "openwork.capture": ["BatchSizes", "Captured", "capture"],
    "openwork.verify": ["Case", "difference", "rounding"],
    "openwork.flow": [],
    "openwork.compact": ["CompactReport", "compact"],
    "openwork.observe": [
        "ChannelReport",
        "EpochSparsity",
        "LayerChannels",
        "SparsityHistory",
        "observe",
    ],
    "openwork.data": [
        "Augment",
        "AugmentParameters",
        "Batch",
        "Batches",
        "DataSet",
        "Morse",
        "Source",
        "Split",
        "load",
        "names",
    ],
    "openwork.models": ["ModelSource", "build", "describe", "names", "source_of"],
    "openwork.io": ["CheckpointInfo", "info", "load", "save"],
    "openwork.prune": [
        "LargestRatio",
        "Score",
        "Stage",
        "StageResult",
        "apply_",
        "by_criterion",
        "error_on",
        "gradual",
        "hold_out",
        "in_stages_",
        "in_steps",
        "iterative",
        "largest_ratio",
        "one_shot",
        "read_log",
        "recalibrate_",
        "search",
    ],
    "openwork.train": ["EpochMetrics", "Evaluation", "GrowthSchedule", "Recipe", "evaluate", "fit"],
    "openwork.engine": ["CompiledModel", "compile", "profile"],
    "openwork.report": [
        "Benchmark",
        "Comparison",
        "Latency",
        "NetworkCost",
        "benchmark",
        "compare",
        "environment",
        "measure_latency",
    ],
}
DOCUMENTED = [
    (module, name)
    for module, names in EXPORTS.items()
    for name in names
    if name not in ("__version__", "KINDS", "BACKENDS")
]


@pytest.mark.parametrize("module", EXPORTS)
def test_the_export_list_is_as_written_here(module: str) -> None:
    exported = importlib.import_module(module)
    assert sorted(exported.__all__) == EXPORTS[module]
    public = {
        name
        for name, value in vars(exported).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public <= set(EXPORTS[module])


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_every_exported_name_is_documented(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(value) or ""
    assert len(text) > 20
    if not inspect.isfunction(value):
        return
    for parameter in inspect.signature(value).parameters:
        assert parameter in text, f"`{parameter}` is not described"


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_public_methods_are_documented(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return
    undocumented = [
        method
        for method, function in vars(value).items()
        if not method.startswith("_")
        and (inspect.isfunction(function) or isinstance(function, classmethod | property))
        and not inspect.getdoc(getattr(value, method))
        and method != "forward"
    ]
    assert undocumented == []


def test_errors_are_one_family_and_keep_to_pythons_own() -> None:
    errors = [
        value for value in vars(ow).values() if inspect.isclass(value) and "Error" in value.__name__
    ]
    assert len(errors) == 8
    assert all(issubclass(error, OpenworkError) for error in errors)
    assert issubclass(ow.ArgumentError, ValueError)
    assert issubclass(ow.MissingPackageError, ImportError)


def test_what_only_training_and_pictures_need_is_imported_later() -> None:
    heavy = ["torch", "lightning_fabric", "matplotlib", "pyarrow", "torch._dynamo"]
    code = f"import sys, openwork; print([name for name in {heavy} if name in sys.modules])"
    code += "; print(openwork.train.fit.__name__, openwork.report.compare.__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["[]", "fit compare"]
    with pytest.raises(AttributeError, match="'openwork' has no attribute 'no_such'"):
        _ = ow.no_such
