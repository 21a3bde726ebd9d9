"""Data to judge masks by, held out of the training split so that the test split stays unseen."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from openwork._arguments import check_number, check_seed
from openwork._mode import evaluation
from openwork._terminal import counted
from openwork.data import Batches, DataSet, Split
from openwork.errors import ArgumentError
from openwork.patterns.keys import shuffled, stream

__all__ = ["check_enough", "held_count"]


def hold_out(data: DataSet, share: float = 0.2, *, seed: int = 0) -> DataSet:
    """Split the training images of `data` in two: one part to train on, one to judge masks by.

    Args:
        data: the data set; its test split is not used.
        share: of the training images to hold out, in (0, 1), default 0.2.
        seed: which images, whole number >= 0, default 0.

    Returns:
        A data set whose `train` are the remaining images (N, C, H, W) and whose `test` are those
        held out, in random order, so that the first part of them represents them all.

    Raises:
        ArgumentError: `share` would leave one of the two without an image, or a bad `seed`.
    """
    check_seed(seed)
    total = len(data.train)
    count = held_count(total, share)
    order = shuffled(total, stream(seed, "hold out"))
    rest = np.sort(order[count:])
    return dataclasses.replace(
        data, train=_rows(data.train, rest), test=_rows(data.train, order[:count])
    )


def held_count(total: int, share: float, argument: str = "share") -> int:
    """How many of `total` training images are held out; messages call the share `argument`.

    Raises:
        ArgumentError: none, or all of them.
    """
    check_number(argument, share, "in (0, 1)", lambda value: 0 < value < 1)
    count = math.floor(share * total + 0.5)
    if not 0 < count < total:
        raise ArgumentError(
            f"`{argument}`={share!r} of {total} training images must leave at least one on either "
            "side"
        )
    return count


def check_enough(images: int, candidates: int) -> None:
    """Refuse to rank more candidates than there are images.

    An error on n images has n + 1 possible values, so candidates of about one error tie, and the
    search would keep whichever was drawn first.

    Raises:
        ArgumentError: there are too few; the message says how many are needed.
    """
    if images < candidates:
        raise ArgumentError(
            f"`candidates`={candidates} cannot be told apart on {counted(images, 'image')} that "
            f"{'was' if images == 1 else 'were'} held out; hold out at least {candidates:,}, or "
            f"draw at most {counted(images, 'candidate')}"
        )


@dataclass(frozen=True, eq=False)
class HeldOutError:
    """The share of misclassified images of `data.test`; see `error_on`."""

    data: DataSet
    batch_size: int | None
    device: torch.device | str | None

    @torch.no_grad()
    def __call__(self, model: nn.Module, share: float = 1.0) -> float:
        check_number("share", share, "in (0, 1]", lambda value: 0 < value <= 1)
        data = self.data
        where = self.device or next((p.device for p in model.parameters()), torch.device("cpu"))
        count = math.ceil(share * len(data.test))
        split = Split(data.test.images[:count], data.test.labels[:count])
        batches = Batches.in_order(
            split, data.mean, data.std, batch_size=self.batch_size, device=where
        )
        wrong = 0
        with evaluation(model):
            for images, labels, _ in batches.epoch(0):
                logits = model(images)
                batches.check_outputs(logits)
                wrong += int((logits.argmax(1) != labels).sum())
        return wrong / count

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.data.test)


def error_on(
    data: DataSet,
    *,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> HeldOutError:
    """An `evaluate` for `search`: the share of images in `data.test` that are misclassified.

    `search` refuses more candidates than there are images in `data.test`.

    Args:
        data: from `hold_out`, so that `data.test` was held out of training.
        batch_size: images at a time. Default: what suits the device (`Batches.in_order`).
        device: where the images go, by default where the model's parameters are.

    Returns:
        A function of a model, which maps images (N, C, H, W) to logits (N, classes), and of the
        share, in (0, 1], of the images to look at: the first ones, so that a larger share contains
        a smaller one. Any other share raises an `ArgumentError`.
    """
    return HeldOutError(data, batch_size, device)


def _rows(split: Split, rows: np.ndarray) -> Split:
    return Split(np.asarray(split.images[rows]), np.asarray(split.labels[rows]))
