"""`RunningHistogram`: how large channels become, over any number of images in fixed memory."""

import torch

# Eighths of octaves from 2**-48 to 2**16.
_STEPS, _LOWEST, _BINS = 8, -48, 64 * 8
_TENTHS = 10


class RunningHistogram:
    """A histogram for each channel of one layer: how large it becomes, image by image.

    Args:
        channels: of the layer.
        device: on which its outputs are.

    Attributes:
        images: how many were added.
        largest: (channels,) the largest |number| in any image.
    """

    def __init__(self, channels: int, device: torch.device) -> None:
        self.images = 0
        self.largest = torch.zeros(channels, device=device)
        self._counts = torch.zeros(channels, _BINS + 1, dtype=torch.int64, device=device)

    def add(self, largest: torch.Tensor) -> None:
        """Add N images, at least one.

        Args:
            largest: (N, channels) the largest |number| of each channel in each image. Where one is
                NaN, so is `self.largest`.
        """
        self.images += len(largest)
        self.largest = torch.maximum(self.largest, largest.amax(0))
        # Bin 0 holds zeros and all that is below the lowest bin.
        places = (torch.log2(largest.nan_to_num()) - _LOWEST).mul(_STEPS).floor().clamp(
            -1, _BINS - 1
        ) + 1
        self._counts.scatter_add_(1, places.t().long(), torch.ones_like(places.t()).long())

    def universality(self, threshold: float, dead: float) -> torch.Tensor:
        """(channels,) the share of images that excite each channel.

        An image does if the channel's largest |number| there exceeds `threshold` times the largest
        in any image, rounded to an eighth of an octave (9 %): so one pass is enough. The share is 0
        for channels that never exceed `dead`.
        """
        limit = torch.log2(self.largest * threshold)
        place = (limit - _LOWEST).mul(_STEPS).round().clamp(-1, _BINS - 1) + 1
        above = torch.arange(_BINS + 1, device=place.device) >= place[:, None]
        share = (self._counts * above).sum(1) / max(self.images, 1)
        return torch.where(self.largest > dead, share, 0.0)


def tenths(universality: torch.Tensor) -> torch.Tensor:
    """(10,) the share of the channels of `universality` (channels,) in each tenth of [0, 1]."""
    places = (universality * _TENTHS).long().clamp(max=_TENTHS - 1)
    return torch.bincount(places, minlength=_TENTHS) / len(universality)
