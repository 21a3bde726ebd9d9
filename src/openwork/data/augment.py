"""Flips and padded random crops of a whole batch, drawn and applied in separate steps."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from openwork.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """What happens to each image of a batch of N.

    Args:
        flips: `(N,)` bool: mirror left to right, after the crop.
        dy: `(N,)` int64: first row of the crop in the padded image, 0..2 * crop_padding.
        dx: `(N,)` int64: first column of the crop, in the same range.
    """

    flips: torch.Tensor
    dy: torch.Tensor
    dx: torch.Tensor

    def __len__(self) -> int:
        return len(self.flips)

    def __getitem__(self, rows: slice | torch.Tensor) -> "AugmentParameters":
        """The parameters of some of the images: a slice, or a tensor of indices."""
        return AugmentParameters(self.flips[rows], self.dy[rows], self.dx[rows])

    def to(self, device: torch.device | str) -> "AugmentParameters":
        """A copy of the parameters on `device`."""
        return AugmentParameters(*(t.to(device) for t in (self.flips, self.dy, self.dx)))


@dataclass(frozen=True)
class Augment:
    """Random changes to training images that keep their size.

    Args:
        flip: mirror left to right with probability 1/2, default False.
        crop_padding: pixels of zeros (black) added on each side before a random crop of the
            original size, default 0 (no crop).

    Raises:
        ArgumentError: `crop_padding` is not a whole number >= 0, or `flip` is not a bool.
    """

    flip: bool = False
    crop_padding: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool):
            raise ArgumentError(f"`flip`={self.flip!r} must be True or False")
        if type(self.crop_padding) is not int or self.crop_padding < 0:
            raise ArgumentError(
                f"`crop_padding`={self.crop_padding!r} must be a whole number of pixels, "
                "0 or more (0: no crop)"
            )

    def draw(self, count: int, generator: torch.Generator) -> AugmentParameters:
        """Draw the parameters of `count` images from a CPU `generator`: CPU tensors `(count,)`."""
        flips = torch.rand(count, generator=generator) < 0.5
        corners = torch.randint(0, 2 * self.crop_padding + 1, (2, count), generator=generator)
        return AugmentParameters(flips & self.flip, corners[0], corners[1])

    def apply(self, images: torch.Tensor, parameters: AugmentParameters) -> torch.Tensor:
        """Flip and crop a batch on its own device.

        Args:
            images: `(N, C, H, W)`, any dtype.
            parameters: parameters for N images, on any device.

        Returns:
            `(N, C, H, W)` of the same dtype and device; `images` itself if nothing changes.

        Raises:
            ArgumentError: `images` does not have four axes, or `parameters` is for another N.
        """
        if images.ndim != 4 or len(images) != len(parameters):
            raise ArgumentError(
                f"`images` has shape {tuple(images.shape)} and `parameters` are for "
                f"{len(parameters)} images; the shape must be (N, C, H, W) with the same N"
            )
        if not self.flip and self.crop_padding == 0:
            return images
        device = images.device
        count, channels, height, width = images.shape
        parameters = parameters.to(device)
        across = torch.arange(width, device=device)
        columns = torch.where(parameters.flips[:, None], across.flip(0), across)
        columns = columns + parameters.dx[:, None]
        rows = torch.arange(height, device=device) + parameters.dy[:, None]
        padded = functional.pad(images, (self.crop_padding,) * 4)
        # Broadcast indices avoid an index tensor of the size of the batch.
        return padded[
            torch.arange(count, device=device)[:, None, None, None],
            torch.arange(channels, device=device)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
