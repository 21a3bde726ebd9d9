"""VGG networks: for CIFAR, of the sparsity paper, and a small one for grey images."""

from torch import nn

from openwork.models.blocks import (
    Layout,
    conv_stack,
    flat_head,
    global_head,
    halve,
    network,
    require_image_size,
)
from openwork.models.source import ModelSource
from openwork.patterns import depth_multiplier

_VGG16: Layout = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
    *(512, 512, 512, "M", 512, 512, 512, "M"),
)
_VGG19: Layout = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M", 512, 512, 512, 512, "M"),
)


def vgg16_cifar(source: ModelSource) -> nn.Module:
    """VGG-16 for CIFAR: 13 convolutions, five max-pools and one linear layer.

    (2x64C3)-MP2-(2x128C3)-MP2-(3x256C3)-MP2-(3x512C3)-MP2-(3x512C3)-MP2-mean-Linear: BN and ReLU
    after each convolution, `(N, C, H, W) -> (N, num_classes)`. The mean over positions has no
    effect at 32 x 32, where only one position is left. At 3 x 32 x 32 and 10 classes: 14,724,042
    parameters.

    The convolutions are those of "Very Deep Convolutional Networks" (Simonyan & Zisserman, 2015),
    configuration D; batch norm and the single linear layer are the usual CIFAR adaptation.

    Raises:
        ArgumentError: `image_size` is below 32.
    """
    return _vgg_cifar(source, _VGG16)


def vgg19_cifar(source: ModelSource) -> nn.Module:
    """VGG-19 for CIFAR: 16 convolutions, five max-pools and one linear layer.

    (2x64C3)-MP2-(2x128C3)-MP2-(4x256C3)-MP2-(4x512C3)-MP2-(4x512C3)-MP2-mean-Linear: BN and ReLU
    after each convolution, `(N, C, H, W) -> (N, num_classes)`. At 3 x 32 x 32 and 10 classes:
    20,035,018 parameters.

    The convolutions are those of "Very Deep Convolutional Networks" (Simonyan & Zisserman, 2015),
    configuration E; batch norm and the single linear layer are the usual CIFAR adaptation.

    Raises:
        ArgumentError: `image_size` is below 32.
    """
    return _vgg_cifar(source, _VGG19)


def vgg16n(source: ModelSource) -> nn.Module:
    """VGG-16n for ImageNet: VGG-16 with a max-pool and a convolution for its two 4096 layers.

    (2x64C3)-MP2-(2x128C3)-MP2-(3x256C3)-MP2-(3x512C3)-MP2-(3x512C3)-MP2-MP2-1024C3-mean-Linear:
    BN and ReLU after each convolution, `(N, C, H, W) -> (N, num_classes)`. At 3 x 224 x 224 and
    1000 classes: 20,464,552 parameters.

    From "The Power of Sparsity in CNNs" (arXiv 1702.06257), experiments on ImageNet: the two 4096
    layers replaced by a 2x2 max-pool and a 3x3 convolution of depth 1024, batch norm, about 7
    times fewer parameters. Derived: the last convolution has no padding, so that 224 pixels lead to
    one position. Our reading: the mean over positions for images of 256 pixels and more (it has no
    effect at 224); the initialisation.

    Raises:
        ArgumentError: `image_size` is below 192.
    """
    require_image_size(
        source, 192, "6 max-pools halve the image and the last 3x3 convolution needs 3 positions"
    )
    features, channels = conv_stack(source, _VGG16)
    last = depth_multiplier(1024, source.depth_multiplier)
    features.extend(
        [halve(), nn.Conv2d(channels, last, 3, bias=False), nn.BatchNorm2d(last), nn.ReLU()]
    )
    return network(features, global_head(source, last))


def vgg_small(source: ModelSource) -> nn.Module:
    """A small VGG for 28 x 28 grey images: six convolutions and one linear layer.

    (2x32C3)-MP2-(2x64C3)-MP2-(2x128C3)-MP2-Linear: BN and ReLU after each convolution,
    `(N, C, H, W) -> (N, num_classes)`. At 1 x 28 x 28 and 10 classes: 298,410 parameters and
    29.1 M multiply-adds.

    Ours, not from a paper: small enough to train on a laptop.

    Raises:
        ArgumentError: `image_size` is below 8.
    """
    require_image_size(source, 8, "3 max-pools halve the image")
    features, channels = conv_stack(source, (32, 32, "M", 64, 64, "M", 128, 128, "M"))
    side = source.image_size // 8
    return network(features, flat_head(source, channels * side * side))


def _vgg_cifar(source: ModelSource, layout: Layout) -> nn.Module:
    require_image_size(source, 32, "5 max-pools halve the image")
    features, channels = conv_stack(source, layout)
    return network(features, global_head(source, channels))
