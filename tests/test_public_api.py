"""What a user may import: the lists are pinned, and every name on them is documented."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import openwork as ow
from openwork.errors import OpenworkError
from openwork.quantize.network import QuantizedNetwork

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
    "openwork.runtime": ["Network", "load", "pack"],
    "openwork.ops": ["BACKENDS", "Backend", "sparse_conv2d", "sparse_linear"],
    "openwork.nn": [
        "BatchNormAct2d",
        "FusedNorms",
        "LayerDirection",
        "LayerTimes",
        "MemoryUse",
        "NativeDepthwiseConv2d",
        "NativeMaxPool2d",
        "Plan",
        "SSCBlock",
        "SparseConv1d",
        "SparseConv2d",
        "SparseLayer",
        "SparseLinear",
        "Table",
        "TrainingTimes",
        "count_macs",
        "densify_",
        "fuse_norms_",
        "grow_",
        "memory_use",
        "sparsify_",
        "ssc_plan",
        "training_table",
        "unfuse_norms_",
    ],
    "openwork.capture": ["BatchSizes", "Captured", "capture"],
    "openwork.verify": [
        "ANOTHER_SIZE",
        "Inputs",
        "OutputDifference",
        "compare",
        "compare_many",
        "compare_training",
        "difference",
        "largest_difference",
        "outputs",
        "refusal",
        "rounding",
        "with_batch_size",
    ],
    "openwork.flow": [],
    "openwork.compact": ["CompactReport", "compact"],
    "openwork.quantize": ["QuantizeReport", "quantize"],
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
        "check_fits",
        "load",
        "names",
    ],
    "openwork.models": [
        "ModelSource",
        "build",
        "describe",
        "from_file",
        "names",
        "normalisation_of",
        "source_of",
    ],
    "openwork.io": ["CheckpointInfo", "adopt_", "info", "load", "load_weights_", "save"],
    "openwork.interchange": ["export_onnx", "from_onnx"],
    "openwork.prune": [
        "LargestRatio",
        "LayerSensitivity",
        "Score",
        "Sensitivity",
        "Stage",
        "StageResult",
        "apply_",
        "at_init",
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
        "sensitivity",
    ],
    "openwork.train": ["EpochMetrics", "Evaluation", "GrowthSchedule", "Recipe", "evaluate", "fit"],
    "openwork.integrations": ["GradualPruning"],
    "openwork.engine": ["CompiledModel", "compile", "profile"],
    "openwork.predict": ["Prediction", "predict"],
    "openwork.report": [
        "Benchmark",
        "Comparison",
        "Latency",
        "NetworkCost",
        "benchmark",
        "compare",
        "environment",
        "html",
        "measure_latency",
    ],
}
DOCUMENTED = [
    (module, name)
    for module, names in EXPORTS.items()
    for name in names
    if name not in ("__version__", "KINDS", "BACKENDS", "ANOTHER_SIZE", "Inputs")
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
    code = code.replace("import sys, openwork", "import sys, openwork.cli, openwork.train")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["['torch']", "fit compare"]
    with pytest.raises(AttributeError, match="'openwork' has no attribute 'no_such'"):
        _ = ow.no_such


_ARRAYS = re.compile(r"\b(torch\.)?Tensor\b|\b(np\.)?ndarray\b")
# `(batch, channels)` or `(live,)`: names, numbers and sums of them in brackets.
_SHAPE = re.compile(r"`\(([\w'.* /+-]+,)[\w'.*, /+-]*\)`")
# Names that take or give arrays of any shape, and why that is right.
ANY_SHAPE: dict[str, str] = {}


def _annotations(value: Any) -> list[str]:
    """The annotations of `value`; for a class, those of its methods and attributes too."""
    found: list[Any] = []
    if inspect.isclass(value):
        found += vars(value).get("__annotations__", {}).values()
        for name, member in vars(value).items():
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
                found += function.__annotations__.values()
    elif callable(value):
        found += getattr(value, "__annotations__", {}).values()
    return [each if isinstance(each, str) else _written(each) for each in found]


def _written(annotation: Any) -> str:
    return annotation.__qualname__ if inspect.isclass(annotation) else str(annotation)


def _text(value: Any) -> str:
    """The docstring of `value`; for a class, those of its public methods too."""
    texts = [inspect.getdoc(value)]
    if inspect.isclass(value):
        members = [name for name in vars(value) if not name.startswith("_") or name == "__init__"]
        texts += [inspect.getdoc(getattr(value, name, None)) for name in members]
    return "\n".join(filter(None, texts))


def _takes_arrays(module: str, name: str) -> bool:
    value = getattr(importlib.import_module(module), name)
    return any(_ARRAYS.search(annotation) for annotation in _annotations(value))


OF_ARRAYS = [
    (module, name)
    for module, name in DOCUMENTED
    if module != "openwork" and _takes_arrays(module, name)
]


@pytest.mark.parametrize(("module", "name"), OF_ARRAYS)
def test_whatever_takes_or_gives_arrays_says_their_shape(module: str, name: str) -> None:
    said = _SHAPE.search(_text(getattr(importlib.import_module(module), name))) is not None
    allowed = f"{module}.{name}" in ANY_SHAPE
    assert said is not allowed, "unneeded entry" if said else "write a shape such as `(batch, n)`"


def test_names_of_any_shape_are_among_those_that_take_arrays() -> None:
    names = {f"{module}.{name}" for module, name in OF_ARRAYS}
    assert len(names) > 10
    assert ANY_SHAPE.keys() <= names
    assert all(len(reason) > 20 for reason in ANY_SHAPE.values())


# What `openwork[torch]` brings, as modules.
_EXTRA = (
    "torch", "safetensors", "pyarrow", "PIL", "yaml", "lightning_fabric", "lightning",
    "tensorboardX", "typer", "rich", "matplotlib",
)  # fmt: skip
_WITHOUT_EXTRA = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_EXTRA}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def _without_extra(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _WITHOUT_EXTRA + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_with_numpy_alone_the_package_imports_and_names_the_extra() -> None:
    ran = _without_extra(
        """
import openwork as ow
from openwork import runtime
for name in ("compile", "nn", "Plan", "save"):
    try:
        getattr(ow, name)
    except ow.MissingPackageError as error:
        print(error)
print(runtime.load.__name__, ow.ArgumentError.__name__)
"""
    )
    assert ran.returncode == 0, ran.stderr
    *refused, last = ran.stdout.splitlines()
    for line, name in zip(refused, ("compile", "nn", "Plan", "save"), strict=True):
        assert line.startswith(f"openwork.{name} needs more packages than are installed (No module")
    assert all(line.endswith("): pip install 'openwork[torch]'") for line in refused)
    assert last == "load ArgumentError"


def test_with_numpy_alone_the_command_line_names_the_extra() -> None:
    ran = _without_extra("from openwork.__main__ import main; main()")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the command line needs more packages than are installed")


def test_the_extra_holds_all_that_the_package_needs_beside_numpy() -> None:
    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["numpy>=2.0"]
    packages = {re.split("[>=]", each)[0] for each in project["optional-dependencies"]["torch"]}
    named = {"PIL": "Pillow", "yaml": "PyYAML", "lightning_fabric": "lightning-fabric"}
    assert packages == {named.get(each, each) for each in _EXTRA} - {"lightning"}


def _functions(module: str, name: str) -> list[Callable[..., object]]:
    """The function of that name; of a class, those that make one from something."""
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return [value] if inspect.isfunction(value) else []
    return [getattr(value, each) for each, v in vars(value).items() if isinstance(v, classmethod)]


OF_MODELS = {
    f"{function.__module__}.{function.__qualname__}": (function, argument)
    for module, name in DOCUMENTED
    for function in _functions(module, name)
    for argument in ("model", "module")
    if argument in inspect.signature(function).parameters
}


@pytest.mark.parametrize("name", OF_MODELS)
@pytest.mark.parametrize("given", [None, 3])
def test_whatever_takes_a_model_refuses_what_is_none(name: str, given: object) -> None:
    function, argument = OF_MODELS[name]
    parameters = inspect.signature(function).parameters.values()
    required = {p.name: None for p in parameters if p.default is p.empty}
    with pytest.raises(OpenworkError, match=r"`.*must|`.*is a"):
        function(**required | {argument: given})


def test_functions_with_a_model_are_found() -> None:
    assert len(OF_MODELS) > 30


NET = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))
IMAGE = torch.zeros(1, 1, 3, 3)
DATA: Any = None
STEPS: dict[str, Any] = {"choose": print, "retrain": print, "evaluate": print}
in_stages_ = ow.prune.in_stages_
largest_ratio = partial(ow.prune.largest_ratio, granularity="kernel")
OF_FUNCTIONS: dict[str, tuple[str, Callable[..., object]]] = {
    "load": ("build", lambda **given: ow.load("no such file", **given)),
    "compile": ("progress", lambda **given: ow.compile(NET, IMAGE, **given)),
    "compact": ("evaluate", lambda **given: ow.compact(NET, IMAGE, **given)),
    "quantize": ("evaluate", lambda **given: ow.quantize(NET, [IMAGE], **given)),
    "in_stages_ choose": ("choose", lambda **given: in_stages_(NET, **STEPS | given)),
    "in_stages_ retrain": ("retrain", lambda **given: in_stages_(NET, **STEPS | given)),
    "in_stages_ evaluate": ("evaluate", lambda **given: in_stages_(NET, **STEPS | given)),
    "largest_ratio choose": ("choose", lambda **given: largest_ratio(NET, **STEPS | given)),
    "largest_ratio retrain": ("retrain", lambda **given: largest_ratio(NET, **STEPS | given)),
    "fit": ("on_epoch", lambda **given: ow.train.fit(NET, DATA, ow.train.Recipe(), **given)),
}


@pytest.mark.parametrize("name", OF_FUNCTIONS)
def test_what_is_to_be_called_must_be_a_function(name: str) -> None:
    argument, function = OF_FUNCTIONS[name]
    with pytest.raises(ow.ArgumentError, match=f"`{argument}`=3 must be a function"):
        function(**{argument: 3})


class Stone(torch.nn.Sequential):
    sealed = "is a stone"


JUDGE: Any = print
LABEL = torch.zeros(1, dtype=torch.long)
STONE = Stone(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
OF_LAYERS: dict[str, Callable[[Any], object]] = {
    "sparsify_": lambda model: ow.sparsify_(model, ow.Plan({"0": "dense"})),
    "compact": lambda model: ow.compact(model, IMAGE),
    "observe": lambda model: ow.observe(model, [IMAGE]),
    "fuse_norms_": lambda model: ow.nn.fuse_norms_(model, IMAGE),
    "by_criterion": lambda model: ow.prune.by_criterion(model, ratio=0.5, example=IMAGE),
    "search": lambda model: ow.prune.search(model, JUDGE, ratio=0.5, example=IMAGE),
    "sensitivity": lambda model: ow.prune.sensitivity(model, JUDGE, example=IMAGE),
    "at_init": lambda model: ow.prune.at_init(model, [(IMAGE, LABEL)], density=0.5),
}


@pytest.mark.parametrize("name", OF_LAYERS)
def test_networks_whose_layers_are_not_pytorchs_are_refused(name: str) -> None:
    with pytest.raises(ow.ArgumentError, match="`model` is a stone, and its layers cannot be"):
        OF_LAYERS[name](STONE)


def test_compiled_and_quantised_networks_are_such() -> None:
    assert ow.CompiledModel.sealed == "is compiled"
    assert QuantizedNetwork.sealed == "computes in int8"
