"""The two CIFAR-10 networks of coarse pruning."""

from torch import nn

from openwork.models.blocks import (
    Layout,
    conv_stack,
    flat_head,
    halve_overlapping,
    network,
    require_image_size,
)
from openwork.models.source import ModelSource


def cnn_small(source: ModelSource) -> nn.Module:
    """Six convolutions and a hidden layer of 256: CNN_small of coarse pruning.

    (2x128C3)-MP-(2x128C3)-MP-(2x256C3)-256FC-Linear: BN and ReLU after each convolution and
    hidden layer, 3x3 max-pools with stride 2, `(N, C, H, W) -> (N, num_classes)`. At 3 x 32 x 32
    and 10 classes: 5,529,994 parameters.

    From "Compact Deep CNNs With Coarse Pruning" (arXiv 1610.09639), which states batch norm in
    every network and the overlapping 3x3 stride-2 pool; the widths follow from its pruned networks.
    Our reading: ReLU, padding 1 in convolutions and pools, BN also after the hidden layer, the
    initialisation.

    Raises:
        ArgumentError: `image_size` is below 4.
    """
    return _coarse(source, (128, 128, "M", 128, 128, "M", 256, 256), (256,))


def cnn_large(source: ModelSource) -> nn.Module:
    """Seven convolutions and two hidden layers of 1024: CNN_large of coarse pruning, as recalled.

    (2x128C3)-MP2-(2x256C3)-MP2-(2x256C3)-(1x512C3)-1024FC-1024FC-Linear: BN and ReLU after each
    convolution and hidden layer, 3x3 max-pools with stride 2, `(N, C, H, W) -> (N, num_classes)`.
    At 3 x 28 x 28 and 10 classes: 30,151,562 parameters.

    "Compact Deep CNNs With Coarse Pruning" (arXiv 1610.09639) states 7 convolutions, 2 max-pools,
    a 28 x 28 input, batch norm and the overlapping 3x3 stride-2 pool. The widths above are
    recalled from memory and unverified: never cite them as the paper's. Our reading: ReLU,
    padding 1, BN also after the hidden layers, the initialisation.

    Raises:
        ArgumentError: `image_size` is below 4.
    """
    layout = (128, 128, "M", 256, 256, "M", 256, 256, 512)
    return _coarse(source, layout, (1024, 1024))


def _coarse(source: ModelSource, layout: Layout, hidden: tuple[int, ...]) -> nn.Module:
    require_image_size(source, 4, "2 max-pools halve the image")
    features, channels = conv_stack(source, layout, pool=halve_overlapping)
    side = -(-source.image_size // 4)  # each of the two pools rounds up
    return network(features, flat_head(source, channels * side * side, hidden))
