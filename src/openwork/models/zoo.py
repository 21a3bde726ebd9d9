"""Models of timm and torchvision, without downloading weights."""

import difflib
import importlib
import sys
from types import ModuleType

import torch
from torch import nn

from openwork.errors import ArgumentError, MissingPackageError
from openwork.models.source import ModelSource

_MISSING_NMS = "operator torchvision::nms does not exist"
# torch removes operators whose library object is garbage-collected, so it is kept here.
_stubs: list[torch.library.Library] = []


def from_timm(source: ModelSource) -> nn.Module:
    """A timm model with random weights: `timm:` and timm's name, as in timm:resnet18.

    `num_classes` and `in_channels` are passed on; `image_size` is not, so the model keeps the
    input size it was made for. Weights are never downloaded; timm initialises the model.

    Raises:
        ArgumentError: timm has no such model, or `depth_multiplier` is not 1.
        MissingPackageError: timm is not installed.
    """
    _require_full_width(source)
    timm = import_zoo("timm")
    name = source.name.partition(":")[2]
    if not timm.is_model(name):
        raise _unknown(source, name, "timm", timm.list_models())
    return timm.create_model(
        name, pretrained=False, num_classes=source.num_classes, in_chans=source.in_channels
    )


def from_torchvision(source: ModelSource) -> nn.Module:
    """A torchvision classifier with random weights: `torchvision:` and its name.

    As in torchvision:resnet18. `num_classes` is passed on; `image_size` is not, so the model keeps
    the input size it was made for. Weights are never downloaded; torchvision initialises the
    model. In training mode its Inceptions return a tuple with auxiliary outputs.

    Raises:
        ArgumentError: torchvision has no such classifier, `in_channels` is not 3 (its
            classifiers take colour images only), or `depth_multiplier` is not 1.
        MissingPackageError: torchvision is not installed.
    """
    _require_full_width(source)
    name = source.name.partition(":")[2]
    if source.in_channels != 3:
        raise ArgumentError(
            f"`in_channels` is {source.in_channels}: torchvision models take 3 channels. "
            f"Use timm, which takes any number, for instance timm:{name}."
        )
    models = import_zoo("torchvision").models
    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise _unknown(source, name, "torchvision", classifiers)
    return models.get_model(name, weights=None, num_classes=source.num_classes)


def import_zoo(package: str) -> ModuleType:
    """Import timm or torchvision, when one of its models is asked for.

    Raises:
        MissingPackageError: the package, or one that it needs, is not installed.
    """
    try:
        try:
            return importlib.import_module(package)
        except RuntimeError as error:
            if str(error) != _MISSING_NMS:
                raise
            # A torchvision built for CUDA cannot load its extension with a CPU-only torch, and then
            # fails to register gradients and shapes for the missing operators. Declaring them as
            # empty lets the import succeed; classifiers never call them.
            _declare_missing_operators()
            _forget_modules("torchvision", package)
            return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(
            f"`{package}` could not be imported ({error}), and models named `{package}:NAME` "
            "need it. Install it with: pip install openwork[zoo]"
        ) from error


def _declare_missing_operators() -> None:
    if _stubs:
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _stubs.append(library)


def _forget_modules(*packages: str) -> None:
    # A failed import leaves half-executed submodules behind, and the second try needs new ones.
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]


def _require_full_width(source: ModelSource) -> None:
    if source.depth_multiplier != 1:
        raise ArgumentError(
            f"`depth_multiplier` is {source.depth_multiplier}: it must be 1 for `{source.name}`, "
            "whose widths its own package fixes. Choose a narrower model there."
        )


def _unknown(source: ModelSource, name: str, package: str, choices: list[str]) -> ArgumentError:
    close = difflib.get_close_matches(name, choices, n=5)
    hint = f"Did you mean {', '.join(close)}?" if close else f"See {package}'s list of models."
    return ArgumentError(
        f"`name` is {source.name!r}: {package} {importlib.import_module(package).__version__} has "
        f"no classifier {name!r}. {hint}"
    )
