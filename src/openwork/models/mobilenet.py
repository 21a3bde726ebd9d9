"""A MobileNet for CIFAR: alternating depthwise and pointwise convolutions."""

from torch import nn

from openwork.models.blocks import global_head, network, require_image_size
from openwork.models.source import ModelSource
from openwork.patterns import depth_multiplier

# Output channels and stride of each depthwise-separable block.
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *[(512, 1)] * 5,
    *((1024, 2), (1024, 1)),
)


def mobilenet(source: ModelSource) -> nn.Module:
    """MobileNet for CIFAR: 27 convolutions, 13 of them depthwise, and one linear layer.

    32C3-(13 blocks of a depthwise 3x3 and a 1x1 convolution)-mean-Linear: BN and ReLU after each
    convolution, four strides of 2, `(N, C, H, W) -> (N, num_classes)`. At 3 x 32 x 32 and 10
    classes: 3,217,226 parameters.

    The blocks are those of "MobileNets" (Howard et al., 2017); as is usual for CIFAR, the first
    convolution has stride 1. Our reading: the initialisation.

    Raises:
        ArgumentError: `image_size` is below 16.
    """
    require_image_size(source, 16, "4 convolutions with stride 2 halve the image")
    channels = depth_multiplier(32, source.depth_multiplier)
    features = _conv(source.in_channels, channels, 3)
    for width, stride in _BLOCKS:
        out = depth_multiplier(width, source.depth_multiplier)
        features.extend(_conv(channels, channels, 3, stride, groups=channels))
        features.extend(_conv(channels, out, 1))
        channels = out
    return network(features, global_head(source, channels))


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
