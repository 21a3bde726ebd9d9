"""`SSCBlock`: a structured sparse convolution with channel mixing, BN and ReLU."""

from collections import OrderedDict
from typing import final

from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.sparse_conv2d import SparseConv2d
from openwork.patterns import ssc

MIXES = ("rotate", "shuffle")


@final
class SSCBlock(nn.Sequential):
    """Structured sparse convolution, channel mixing, batch norm and ReLU.

    The groups of one convolution must be mixed before the next one. Both ways to mix compute the
    same up to the order of the weights; rotating groups need no shuffle at run time.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        kernel: an odd number or pair, default 3; the padding keeps the image size at stride 1.
        stride: a number or a pair, default 1.
        groups, taps, shift: as in `patterns.ssc`.
        mix: "rotate" (default): filter n reads the channels of group `n % groups`; "shuffle": the
            groups are contiguous, and `torch.nn.ChannelShuffle` follows the convolution.

    Shape:
        `(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))`.

    Raises:
        ArgumentError: an even kernel or an unknown `mix`, or as for `patterns.ssc`.

    Source: our reconstruction of "Pushing the Efficiency Limit Using Structured Sparse
    Convolutions" (Verma et al. 2023), as in `patterns.ssc`; the block's layout is ours.

    >>> import torch
    >>> SSCBlock(16, 32, groups=4)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        *,
        groups: int = 1,
        taps: int | None = 1,
        shift: int = 1,
        mix: str = "rotate",
    ) -> None:
        check_choice("mix", mix, MIXES)
        pattern = ssc(
            out_channels,
            in_channels,
            kernel,
            groups=groups,
            taps=taps,
            shift=shift,
            order="rotating" if mix == "rotate" else "contiguous",
        )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        padding = [_half(size) for size in pattern.kernel]
        layers["conv"] = SparseConv2d(pattern, stride, padding, bias=False)
        if mix == "shuffle" and groups > 1:
            layers["shuffle"] = nn.ChannelShuffle(groups)
        layers["norm"] = nn.BatchNorm2d(out_channels)
        layers["relu"] = nn.ReLU()
        super().__init__(layers)


def _half(size: int) -> int:
    if size % 2 == 0:
        raise ArgumentError(
            f"`kernel`={size} must be odd, so that the padding can keep the size of the image; "
            f"nearest: {size - 1} or {size + 1}"
        )
    return size // 2
