"""Every model by its name: the table of what `build` can build."""

import difflib
import functools
import inspect
from collections.abc import Callable

from torch import nn

from openwork.errors import ArgumentError, first_line
from openwork.models.basicnet import basicnet
from openwork.models.coarse import cnn_large, cnn_small
from openwork.models.mlp import mlp
from openwork.models.mnist import mnist_3conv
from openwork.models.mobilenet import mobilenet
from openwork.models.own import is_own
from openwork.models.resnet import resnet32, resnet32x2
from openwork.models.source import ModelSource, attach_source
from openwork.models.ssc import ssc_network
from openwork.models.vgg import vgg16_cifar, vgg16n, vgg19_cifar, vgg_small
from openwork.models.zoo import from_timm, from_torchvision

Builder = Callable[[ModelSource], nn.Module]

_MODELS: dict[str, Builder] = {
    "basicnet": basicnet,
    "cnn_large": cnn_large,
    "cnn_small": cnn_small,
    "mnist_3conv": mnist_3conv,
    "mobilenet": mobilenet,
    "resnet32": resnet32,
    "resnet32x2": resnet32x2,
    "vgg-small": vgg_small,
    "vgg16-cifar": vgg16_cifar,
    "vgg16n": vgg16n,
    "vgg19-cifar": vgg19_cifar,
}


@functools.wraps(ssc_network)
def _ssc(source: ModelSource) -> nn.Module:
    return ssc_network(source, lambda inner: _builder(inner.name)(inner))


# Prefixes of names that continue after the colon, with an example for the error message.
_PREFIXES: dict[str, tuple[Builder, str]] = {
    "mlp:": (mlp, "mlp:784-100-10"),
    "ssc:": (_ssc, "ssc:resnet32:0.95"),
    "timm:": (from_timm, "timm:resnet18"),
    "torchvision:": (from_torchvision, "torchvision:resnet18"),
}


def names() -> tuple[str, ...]:
    """The fixed model names, sorted; `build` also takes names with a prefix.

    >>> names()[:3]
    ('basicnet', 'cnn_large', 'cnn_small')
    """
    return tuple(sorted(_MODELS))


def describe(name: str) -> str:
    """One sentence about the model called `name`.

    Raises:
        ArgumentError: no model has this name.
    """
    return (inspect.getdoc(_builder(name)) or "").partition("\n")[0]


def build(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
    depth_multiplier: float = 1.0,
) -> nn.Module:
    """Build a model with random weights.

    The model is on the CPU, in float32 and in training mode, and `source_of` returns these
    arguments. `torch.manual_seed` before the call fixes the weights.

    Args:
        name: one of `names()`; or `mlp:` and widths (mlp:784-100-10); or `timm:` or
            `torchvision:` and a model of that package; or `ssc:`, any of these and a sparsity
            (ssc:resnet32:0.95), for structured sparse convolutions. A model in
            a Python file of yours is built by `from_file`.
        num_classes: outputs of the last layer. Default 10.
        in_channels: channels of the image. Default 3.
        image_size: height and width of the image in pixels. Default 32.
        depth_multiplier: every hidden width n becomes ceil(depth_multiplier * n). Above 0;
            values up to 1 are the published rule, above 1 widen the model. Default 1.0.

    Returns:
        The model, `(N, in_channels, image_size, image_size) -> (N, num_classes)`.

    Raises:
        ArgumentError: the name is unknown, a number is out of range, or the image is too small
            for the model's pools.
        MissingPackageError: the model is timm's or torchvision's and the package is missing.

    >>> type(build("vgg-small", in_channels=1, image_size=28)).__name__
    'Sequential'
    """
    source = ModelSource(name, num_classes, in_channels, image_size, depth_multiplier)
    builder = _builder(name)
    try:
        model = builder(source)
    # torch raises these for sizes that exceed the memory or a 64-bit integer.
    except (RuntimeError, TypeError, MemoryError) as error:
        raise ArgumentError(
            f"`name` is {name!r}: it cannot be built with {num_classes} classes, {in_channels} "
            f"channels and an image size of {image_size} ({first_line(error)}). "
            "Make the network or the images smaller."
        ) from error
    attach_source(model, source)
    return model


def _close_prefix(name: str) -> list[str]:
    """`name` with the prefix that may have been meant."""
    prefix, colon, rest = name.partition(":")
    prefixes = [entry.rstrip(":") for entry in _PREFIXES] if colon else []
    close = difflib.get_close_matches(prefix.lower(), prefixes, n=1)
    return [f"{close[0]}:{rest}"] if close else []


def _builder(name: str) -> Builder:
    if name in _MODELS:
        return _MODELS[name]
    for prefix, (builder, _) in _PREFIXES.items():
        if name.startswith(prefix):
            return builder
    if is_own(name):
        # A checkpoint names its model, and loading it must not run a file.
        raise ArgumentError(
            f"`name` is {name!r}: a model in a Python file is built by `models.from_file`, which "
            "runs the file. To load a checkpoint of it, pass `build`; on the command line, --model."
        )
    close = [*difflib.get_close_matches(name.lower(), _MODELS), *_close_prefix(name)]
    hint = f"Did you mean {', '.join(close)}? " if close else ""
    examples = ", ".join(example for _, example in _PREFIXES.values())
    raise ArgumentError(
        f"`name` is {name!r}: no model has this name. {hint}The models are "
        f"{', '.join(names())}; and with a prefix, for instance, {examples}."
    )
