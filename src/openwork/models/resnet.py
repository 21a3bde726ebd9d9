"""The CIFAR residual networks of 32 layers."""

import torch
from torch import nn

from openwork.models.blocks import global_head, network, require_image_size
from openwork.models.source import ModelSource
from openwork.patterns import depth_multiplier


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu1(bn1(conv1(x))))) + shortcut(x)), both convolutions 3x3 with padding 1.

    The shortcut has no parameters (option A of He et al.): it keeps every `stride`-th pixel and
    appends zero channels at the end.

    Args:
        in_channels: channels of x.
        out_channels: channels of the result, at least `in_channels`.
        stride: 1, or 2 to halve the image (rounding up).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(out_channels - in_channels, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))`."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


def _shortcut(new_channels: int, stride: int) -> nn.Module:
    layers: list[nn.Module] = []
    if stride > 1:
        # A 1x1 pool only subsamples: x[:, :, ::stride, ::stride] as a layer.
        layers.append(nn.MaxPool2d(1, stride=stride))
    if new_channels:
        # The 3-D pad reads the channel axis of a 4-D tensor as depth.
        layers.append(nn.ZeroPad3d((0, 0, 0, 0, 0, new_channels)))
    return nn.Sequential(*layers) if layers else nn.Identity()


def resnet32(source: ModelSource) -> nn.Module:
    """ResNet-32 for CIFAR: 31 convolutions of 16, 32 and 64 channels and one linear layer.

    16C3-(5 blocks of 16)-(5 blocks of 32, the first with stride 2)-(5 blocks of 64, the first with
    stride 2)-mean-Linear: BN after each convolution, `(N, C, H, W) -> (N, num_classes)`. At
    3 x 32 x 32 and 10 classes: 464,154 parameters.

    From "Deep Residual Learning for Image Recognition" (He et al., 2016), the CIFAR-10 networks,
    with its parameter-free shortcut (option A). Our reading: the new zero channels come last; the
    initialisation.

    Raises:
        ArgumentError: `image_size` is below 4.
    """
    return _resnet(source, (16, 32, 64))


def resnet32x2(source: ModelSource) -> nn.Module:
    """ResNet-32 for CIFAR with doubled widths: 32, 64 and 128 channels.

    `resnet32` with every width doubled, `(N, C, H, W) -> (N, num_classes)`. At 3 x 32 x 32 and 10
    classes: 1,849,898 parameters.

    The doubled width follows the pruning-at-initialisation papers (GraSP), recalled from memory and
    unverified; all else is as in `resnet32`.

    Raises:
        ArgumentError: `image_size` is below 4.
    """
    return _resnet(source, (32, 64, 128))


def _resnet(source: ModelSource, widths: tuple[int, int, int], blocks: int = 5) -> nn.Module:
    require_image_size(source, 4, "2 convolutions with stride 2 halve the image")
    channels = depth_multiplier(widths[0], source.depth_multiplier)
    features = nn.Sequential(
        nn.Conv2d(source.in_channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
    for stage, width in enumerate(widths):
        out = depth_multiplier(width, source.depth_multiplier)
        for index in range(blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            features.append(BasicBlock(channels, out, stride))
            channels = out
    return network(features, global_head(source, channels))
