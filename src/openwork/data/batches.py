"""Batches: a split as normalised tensors on a device, the same for any number of processes."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from openwork._arguments import check_count, check_seed
from openwork.data.augment import Augment, AugmentParameters
from openwork.data.split import Split
from openwork.errors import ArgumentError

# Smaller splits are kept on the accelerator; batches of larger ones are gathered on the host.
_RESIDENT_BYTES = 2 * 2**30
_UPLOAD_ROWS = 4096
# Samples per rank in evaluation. On a CPU the feature maps of 500 images exceed the caches, and
# their memory is mapped and unmapped at each layer: 50 took 0.61 to 0.69 of the time of 500
# (ResNet-32, BasicNet, CNN_small; 2 threads).
_JUDGED_ON_CPU = 50
_JUDGED_ELSEWHERE = 500


class Batch(NamedTuple):
    """One rank's part of a global batch.

    Args:
        images: `(B, C, H, W)` float32, normalised: (pixel / 255 - mean) / std.
        labels: `(B,)` int64, on the same device.
        global_count: samples in the batch over all ranks; B with a single rank. Losses summed over
            B and divided by this add up over the ranks to the mean loss of the batch.
    """

    images: torch.Tensor
    labels: torch.Tensor
    global_count: int


class Batches:
    """The batches of a split, epoch by epoch.

    Order and augmentation of epoch n depend only on (seed, n), not on rank, world, device or any
    global random state. Rank r gets every world-th sample of each global batch, starting with the
    r-th, so all ranks together see exactly the batch that a single process would see.

    The last batch may be smaller. With `shuffle` it is dropped on all ranks if it has fewer samples
    than there are ranks, or only one sample of a larger split, because batch normalisation cannot
    train on that. Without `shuffle` no sample is dropped, and a rank without a sample in the last
    batch gets a batch of 0 images, so that all ranks see the same number of batches.

    Args:
        split: the images `(N, C, H, W)` and labels `(N,)`.
        batch_size: samples in a global batch, over all ranks; at least `world`.
        mean: C numbers, one per channel, in units of 0..1.
        std: C numbers above 0, one per channel, in units of 0..1.
        device: device of the batches, default "cpu". On an accelerator, splits below 2 GiB are
            kept there as uint8.
        shuffle: True: a new order in each epoch; False: the order of the split.
        seed: whole number >= 0, below 2**64.
        augment: random changes to the images, default None.
        rank: number of this process, 0..world-1, default 0.
        world: number of processes, default 1.

    Attributes:
        largest_label: of the whole split.

    Raises:
        ArgumentError: an argument breaks its rule, or an epoch would have no batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        shuffle: bool,
        seed: int,
        augment: Augment | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_count("world", world)
        check_count("rank", rank, 0)
        check_seed(seed)
        check_count("batch_size", batch_size)
        if rank >= world:
            raise ArgumentError(f"`rank`={rank} must be below `world`={world}")
        if batch_size < world:
            raise ArgumentError(
                f"`batch_size`={batch_size} is the global batch and must be at least "
                f"`world`={world}, one sample per rank"
            )
        channels = split.images.shape[1]
        for argument, values in (("mean", mean), ("std", std)):
            if len(values) != channels or (argument == "std" and min(values) <= 0):
                raise ArgumentError(
                    f"`{argument}`={tuple(values)!r} must be {channels} numbers, one per channel "
                    "of the images (`std` above 0)"
                )
        side = max(split.images.shape[2:])
        if augment is not None and augment.crop_padding > side:
            raise ArgumentError(
                f"`crop_padding`={augment.crop_padding} must be at most {side}, the larger side of "
                "the images; otherwise most crops would miss the image"
            )
        self._split, self._batch_size = split, batch_size
        self.largest_label = int(split.labels.max(initial=-1))
        self._device = torch.device(device)
        self._shuffle, self._seed, self._augment = shuffle, seed, augment
        self._rank, self._world = rank, world
        if len(self) == 0:
            raise ArgumentError(
                f"`world`={world} ranks cannot share {len(split)} training samples; use fewer ranks"
            )
        self._mean = torch.tensor(mean, dtype=torch.float32, device=self._device)[:, None, None]
        self._std = torch.tensor(std, dtype=torch.float32, device=self._device)[:, None, None]
        self._resident: torch.Tensor | None = None
        if self._device.type != "cpu" and split.images.nbytes < _RESIDENT_BYTES:
            self._resident = _upload(split.images, self._device)

    @classmethod
    def in_order(
        cls,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        batch_size: int | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> "Batches":
        """The batches of a split in its own order, for evaluation.

        Args:
            split: the images `(N, C, H, W)` and labels `(N,)`.
            mean: C numbers, one per channel, in units of 0..1.
            std: C numbers above 0, one per channel, in units of 0..1.
            batch_size: samples in a global batch. Default: 50 per rank on a CPU and 500 per rank
                elsewhere.
            device: device of the batches, default "cpu".
            rank: number of this process, 0..world-1, default 0.
            world: number of processes, default 1.

        Raises:
            ArgumentError: an argument breaks its rule.
        """
        if batch_size is None:
            on_cpu = torch.device(device).type == "cpu"
            batch_size = world * (_JUDGED_ON_CPU if on_cpu else _JUDGED_ELSEWHERE)
        return cls(
            split,
            batch_size,
            mean,
            std,
            device=device,
            shuffle=False,
            seed=0,
            rank=rank,
            world=world,
        )

    def __len__(self) -> int:
        """Batches in an epoch, the same on every rank."""
        full, rest = divmod(len(self._split), self._batch_size)
        least = max(self._world, min(2, len(self._split))) if self._shuffle else 1
        return full + (rest >= least)

    def check_outputs(self, logits: torch.Tensor) -> None:
        """Refuse labels that a network has no output for.

        Args:
            logits: what it gives for a batch, (B, classes).

        Raises:
            ArgumentError: the largest label of the split is not below the number of classes.
        """
        label, count = self.largest_label, logits.shape[-1]
        if logits.dim() == 2 and label >= count:
            raise ArgumentError(
                f"`data` holds the label {label}, but `model` gives {count} outputs only, for the "
                f"labels from 0; build the network for {label + 1} classes"
            )

    def epoch(self, n: int) -> Iterator[Batch]:
        """Iterate over the batches of epoch `n` (0 or more); epochs can be run in any order."""
        check_count("n", n, 0)
        return self._iterate(n)

    def _iterate(self, n: int) -> Iterator[Batch]:
        total = len(self._split)
        order = torch.arange(total)
        if self._shuffle:
            order = torch.randperm(total, generator=_generator(self._seed, n, "order"))
        parameters = None
        if self._augment is not None:
            parameters = self._augment.draw(total, _generator(self._seed, n, "augment"))
        for start in range(0, len(self) * self._batch_size, self._batch_size):
            stop = min(start + self._batch_size, total)
            mine = slice(start + self._rank, stop, self._world)
            images = self._images(order[mine], None if parameters is None else parameters[mine])
            labels = torch.from_numpy(np.take(self._split.labels, order[mine].numpy(), axis=0))
            yield Batch(images, labels.to(self._device), stop - start)

    def _images(self, rows: torch.Tensor, parameters: AugmentParameters | None) -> torch.Tensor:
        if self._resident is not None:
            images = self._resident[rows.to(self._device)]
        else:
            # np.take copies; torch warns when it wraps a read-only memory map.
            images = torch.from_numpy(np.take(self._split.images, rows.numpy(), axis=0))
            images = images.to(self._device)
        if self._augment is not None and parameters is not None:
            images = self._augment.apply(images, parameters)
        return images.float().div_(255).sub_(self._mean).div_(self._std)


def _upload(images: np.ndarray, device: torch.device) -> torch.Tensor:
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(images), _UPLOAD_ROWS):
        rows = slice(start, start + _UPLOAD_ROWS)
        resident[rows] = torch.from_numpy(np.array(images[rows]))
    return resident


def _generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    # Hashed, so that neighbouring seeds and epochs are unrelated and no two pairs coincide.
    digest = hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
