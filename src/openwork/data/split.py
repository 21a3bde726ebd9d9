"""A decoded data set: arrays, class names and channel statistics."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openwork._arguments import is_number
from openwork._terminal import counted
from openwork.errors import ArgumentError, DataError

# Values converted to float64 at a time: 32 MiB, whatever the size of the memory map.
_CHUNK_VALUES = 2**22


@dataclass(frozen=True, eq=False)
class Split:
    """The images and labels of one split, row by row.

    Args:
        images: `(N, C, H, W)` uint8, values 0..255; may be a read-only memory map.
        labels: `(N,)` int64, class numbers from 0.

    Raises:
        DataError: no images, different lengths, or a wrong shape or dtype.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for argument, array, dtype, ndim, axes in (
            ("images", self.images, np.uint8, 4, "(N, C, H, W)"),
            ("labels", self.labels, np.int64, 1, "(N,)"),
        ):
            if array.dtype != dtype or array.ndim != ndim:
                raise DataError(
                    f"`{argument}` is {array.dtype} of shape {array.shape}; "
                    f"it must be {np.dtype(dtype)} of shape {axes}"
                )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"`images` has {len(self.images)} rows and `labels` {len(self.labels)}; "
                "there must be one label per image"
            )
        if self.images.size == 0:
            raise DataError(
                f"the data set is empty: `images` has shape {self.images.shape}; "
                "it must hold at least one image of at least one pixel"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training and a test split that share classes, channels and image size.

    Args:
        name: the name that `load` was given.
        train: the training split, images `(N, C, H, W)`.
        test: the test split, images `(M, C, H, W)`.
        classes: class names; a label is an index into them.
        mean: C numbers, one per channel, in units of 0..1 (pixel value / 255), over the training
            split.
        std: C numbers in the same units; 1.0 for a constant channel, so that dividing is safe.

    Raises:
        DataError: the parts do not fit together; the message says which.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        shape = self.train.images.shape[1:]
        if self.test.images.shape[1:] != shape:
            raise DataError(
                f"`{self.name}`: training images have shape {shape}, test images "
                f"{self.test.images.shape[1:]}; both splits must have the same (C, H, W)"
            )
        for argument, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not all(map(math.isfinite, values)):
                raise DataError(
                    f"{self.name}: `{argument}`={values!r} must be {self.channels} finite "
                    "numbers, one per channel"
                )
        if min(self.std) <= 0:
            raise DataError(
                f"{self.name}: `std`={self.std!r} must be above 0 in each channel; use 1.0 for a "
                "constant channel"
            )
        for where, split in (("train", self.train), ("test", self.test)):
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.num_classes:
                raise DataError(
                    f"`{self.name}`: the {where} labels run from {low} to {high}; "
                    f"with {self.num_classes} classes they must be 0..{self.num_classes - 1}"
                )

    def normalised(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> "DataSet":
        """The same images, to be normalised with other numbers, such as those of given weights.

        Args:
            mean: C numbers in units of 0..1, or one for every channel; None (default) keeps them.
            std: as `mean`, above 0.

        Raises:
            ArgumentError: another number of them, or numbers outside 0..1.
        """
        return dataclasses.replace(
            self,
            mean=self.mean if mean is None else _per_channel("mean", mean, self.channels),
            std=self.std if std is None else _per_channel("std", std, self.channels),
        )

    @property
    def channels(self) -> int:
        """Channels per image: 1 (grey) or 3 (RGB) for every data set of `load`."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.train.images.shape[2], self.train.images.shape[3]

    @property
    def num_classes(self) -> int:
        """Number of classes; a class may have no image in a split."""
        return len(self.classes)


def _per_channel(argument: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    numbers = tuple(values) * (channels if len(values) == 1 else 1)
    fits = all(is_number(x) and 0 <= x <= 1 for x in numbers)
    if len(numbers) != channels or not fits or (argument == "std" and 0 in numbers):
        above = " above 0" if argument == "std" else ""
        raise ArgumentError(
            f"`{argument}`={tuple(values)!r} must be {counted(channels, 'number')}{above}, one per "
            "channel, from 0 to 1: divide by 255 what is meant for pixels from 0 to 255"
        )
    return tuple(map(float, numbers))


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact mean and standard deviation of each channel, in units of 0..1.

    Args:
        images: `(N, C, H, W)` uint8, not empty; read in chunks, so it may be a memory map.

    Returns:
        (mean, std), C numbers each; `std` is the population deviation, 1.0 for a constant channel.
    """
    count, channels, height, width = images.shape
    step = max(1, _CHUNK_VALUES // (channels * height * width))
    totals, squares = [0] * channels, [0] * channels
    for start in range(0, count, step):
        # float64 sums of whole numbers are exact below 2**53, so nothing is rounded here.
        values = np.asarray(images[start : start + step], dtype=np.float64)
        for channel in range(channels):
            plane = values[:, channel]
            totals[channel] += int(plane.sum())
            squares[channel] += int(np.square(plane).sum())
    pixels = count * height * width
    mean = tuple(total / (pixels * 255) for total in totals)
    std = tuple(
        math.sqrt((pixels * square - total * total) / (pixels * 255) ** 2) or 1.0
        for total, square in zip(totals, squares, strict=True)
    )
    return mean, std
