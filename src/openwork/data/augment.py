"""Flips and padded random crops of a whole batch, drawn apart from being applied."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from openwork.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """What happens to each image of a batch of N.

    Args:
        flips: bool, shape `(N,)`: mirror left to right, after the crop.
        dy: int64, shape `(N,)`: first row of the crop in the padded image, 0..2 * crop_padding.
        dx: int64, shape `(N,)`: first column, likewise.
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
        """The same parameters on `device`."""
        return AugmentParameters(*(t.to(device) for t in (self.flips, self.dy, self.dx)))


@dataclass(frozen=True)
class Augment:
    """Random changes to training images `(N, C, H, W)` that keep their size.

    Args:
        flip: mirror left to right with probability 1/2. Default: never.
        crop_padding: pixels of zeros (black) added on each side before a crop of the original
            size is cut out at random. Default: 0, no crop.

    Raises:
        ArgumentError: `crop_padding` is not a whole number of 0 or more, or `flip` no bool.
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
        """Draw the parameters of `count` images from a CPU `generator`; CPU tensors."""
        flips = torch.rand(count, generator=generator) < 0.5
        corners = torch.randint(0, 2 * self.crop_padding + 1, (2, count), generator=generator)
        return AugmentParameters(flips & self.flip, corners[0], corners[1])

    def apply(self, images: torch.Tensor, parameters: AugmentParameters) -> torch.Tensor:
        """Flip and crop a batch on its own device.

        Args:
            images: shape (N, C, H, W), any dtype.
            parameters: for N images, on any device.

        Returns:
            Same shape, dtype and device; `images` itself if there is nothing to do.

        Raises:
            ArgumentError: `images` has not four axes, or `parameters` is for another N.
        """
        if images.ndim != 4 or len(images) != len(parameters):
            raise ArgumentError(
                f"`images` has shape {tuple(images.shape)} and `parameters` are for "
                f"{len(parameters)} images; they must be (N, C, H, W) and N"
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
        # Broadcast indices: no index tensor of the size of the batch is ever made.
        return padded[
            torch.arange(count, device=device)[:, None, None, None],
            torch.arange(channels, device=device)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
