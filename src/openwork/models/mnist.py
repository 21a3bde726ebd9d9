"""The small three-convolution network for MNIST."""

from torch import nn

from openwork.models.blocks import conv_stack, flat_head, network, require_image_size
from openwork.models.source import ModelSource


def mnist_3conv(source: ModelSource) -> nn.Module:
    """Three convolutions for 28 x 28 grey digits, without batch norm.

    32C3-MP2-64C3-MP2-128C3-MP2-Linear: ReLU after each convolution, 2x2 max-pools, `(N, C, H, W)
    -> (N, num_classes)`. At 1 x 28 x 28 and 10 classes: 104,202 parameters and 7.46 M
    multiply-adds.

    "The Power of Sparsity in CNNs" (arXiv 1702.06257) says only that its MNIST network is the
    TensorFlow example with 3 convolutional layers, with an accuracy of 99.5 % when dense. Widths,
    kernel sizes, pools, no batch norm and dropout, and the initialisation are our reading.

    Raises:
        ArgumentError: `image_size` is below 8.
    """
    require_image_size(source, 8, "3 max-pools halve the image")
    features, channels = conv_stack(source, (32, "M", 64, "M", 128, "M"), norm=False)
    side = source.image_size // 8
    return network(features, flat_head(source, channels * side * side))
