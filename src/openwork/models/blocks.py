"""Building blocks that the plain (non-residual) networks share."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from openwork.errors import ArgumentError
from openwork.models.initialise import initialise_
from openwork.models.source import ModelSource
from openwork.patterns import depth_multiplier

Layout = Sequence[int | Literal["M"]]


def halve() -> nn.Module:
    """A 2x2 max-pool with stride 2: a side of n becomes floor(n / 2)."""
    return nn.MaxPool2d(2, stride=2)


def halve_overlapping() -> nn.Module:
    """A 3x3 max-pool with stride 2 and padding 1: a side of n becomes ceil(n / 2)."""
    return nn.MaxPool2d(3, stride=2, padding=1)


def conv_stack(
    source: ModelSource,
    layout: Layout,
    *,
    pool: Callable[[], nn.Module] = halve,
    norm: bool = True,
) -> tuple[nn.Sequential, int]:
    """3x3 convolutions with padding 1, each followed by BN and ReLU, and pools between them.

    Args:
        source: gives the input channels and the depth multiplier.
        layout: output channels of each convolution at depth multiplier 1; "M" is a pool.
        pool: makes one pooling layer.
        norm: put a batch norm after each convolution; the convolution then has no bias.

    Returns:
        The layers, `(N, in_channels, H, W) -> (N, C, H', W')`, and C.
    """
    layers: list[nn.Module] = []
    channels = source.in_channels
    for entry in layout:
        if entry == "M":
            layers.append(pool())
            continue
        out = depth_multiplier(entry, source.depth_multiplier)
        layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.ReLU())
        channels = out
    return nn.Sequential(*layers), channels


def flat_head(source: ModelSource, in_features: int, hidden: Sequence[int] = ()) -> nn.Sequential:
    """Flatten, then Linear-BN-ReLU for each hidden width, then Linear to the classes.

    Args:
        source: gives the classes and the depth multiplier.
        in_features: C * H * W of the feature map that arrives.
        hidden: hidden widths at depth multiplier 1; none gives one linear layer.

    Returns:
        The layers, `(N, C, H, W) -> (N, num_classes)`.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        out = depth_multiplier(width, source.depth_multiplier)
        layers += [nn.Linear(in_features, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
        in_features = out
    layers.append(nn.Linear(in_features, source.num_classes))
    return nn.Sequential(*layers)


def global_head(source: ModelSource, channels: int) -> nn.Sequential:
    """Mean over all positions, then one Linear: `(N, channels, H, W) -> (N, num_classes)`."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, source.num_classes)
    )


def network(features: nn.Module, classifier: nn.Module) -> nn.Sequential:
    """The two halves as one initialised model with the children `features` and `classifier`."""
    model = nn.Sequential(OrderedDict(features=features, classifier=classifier))
    initialise_(model)
    return model


def require_image_size(source: ModelSource, minimum: int, why: str) -> None:
    """Refuse an image that the network would shrink to nothing.

    Raises:
        ArgumentError: `source.image_size` is below `minimum`.
    """
    if source.image_size < minimum:
        raise ArgumentError(
            f"`image_size` is {source.image_size}: `{source.name}` needs at least {minimum}, "
            f"because {why}. Pass a larger `image_size` or choose another model."
        )
