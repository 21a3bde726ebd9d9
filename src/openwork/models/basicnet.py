"""BasicNet, the network of the study of implicit filter sparsity."""

from torch import nn

from openwork.models.blocks import conv_stack, flat_head, network, require_image_size
from openwork.models.source import ModelSource


def basicnet(source: ModelSource) -> nn.Module:
    """Seven convolutions and a hidden layer of 256: BasicNet of implicit filter sparsity.

    64C3-MP2-(2x128C3)-MP2-(2x256C3)-MP2-(2x512C3)-MP2-256FC-Linear: BN and ReLU after each
    convolution and hidden layer, 2x2 max-pools, `(N, C, H, W) -> (N, num_classes)`. At 3 x 32 x 32
    and 10 classes: 5,177,674 parameters.

    From "On Implicit Filter Level Sparsity in CNNs" (arXiv 1811.12495), which we know only from
    notes on it: a compact VGG-like network of 7 convolutions, and 2 linear layers for CIFAR.
    Recalled from memory and unverified: the widths 64, 128, 128, 256, 256, 512, 512, the 3x3
    kernels, BN and ReLU after each convolution. Our reading: the pools after C1, C3, C5 and C7,
    the hidden width of 256 with BN and ReLU, no dropout, the initialisation.

    Raises:
        ArgumentError: `image_size` is below 16.
    """
    require_image_size(source, 16, "4 max-pools halve the image")
    layout = (64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M")
    features, channels = conv_stack(source, layout)
    side = source.image_size // 16
    return network(features, flat_head(source, channels * side * side, (256,)))
