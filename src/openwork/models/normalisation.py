"""How the weights that were published for a model want their images normalised."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from openwork._arguments import check_module, is_number
from openwork.models.source import source_of
from openwork.models.zoo import import_zoo

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def normalisation_of(model: nn.Module) -> Normalisation | None:
    """The mean and standard deviation of each channel that published weights were trained with.

    Known for models of timm, and of other packages that keep a `pretrained_cfg` or `default_cfg`
    with `mean` and `std` as timm does, and for classifiers of torchvision.

    Args:
        model: any module.

    Returns:
        (mean, std), one number per channel in units of 0..1, or None if they are not known.
    """
    check_module(model)
    for attribute in ("pretrained_cfg", "default_cfg"):
        config = getattr(model, attribute, None)
        if isinstance(config, Mapping) and (
            found := _checked(config.get("mean"), config.get("std"))
        ):
            return found
    source = source_of(model)
    package, _, name = source.name.partition(":") if source else ("", "", "")
    if package != "torchvision":
        return None
    weights: Any = import_zoo("torchvision").models.get_model_weights(name)
    transforms = weights.DEFAULT.transforms()
    return _checked(getattr(transforms, "mean", None), getattr(transforms, "std", None))


def _checked(mean: Any, std: Any) -> Normalisation | None:
    pairs = []
    for values in (mean, std):
        if not isinstance(values, tuple | list) or not values:
            return None
        if not all(is_number(value) and math.isfinite(value) for value in values):
            return None
        pairs.append(tuple(map(float, values)))
    return (pairs[0], pairs[1]) if min(pairs[1]) > 0 else None
