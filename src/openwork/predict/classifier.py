"""`Classifier`: image files to classes, with numpy alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openwork import runtime
from openwork.data.image import ImageFault, read
from openwork.errors import ArgumentError


@dataclass(frozen=True)
class Setup:
    """What a classifier is made of; each process gets one.

    Attributes:
        path: of the compiled network, packed or not.
        threads: that a call uses.
        mean, std: of the images, per channel in units of 0 to 1; None as the file says.
    """

    path: str | os.PathLike[str]
    threads: int
    mean: Sequence[float] | None
    std: Sequence[float] | None


@dataclass(frozen=True)
class Classified:
    """What became of one file.

    Attributes:
        path: of the image.
        label: number of its class; -1 if it cannot be read.
        probability: of that class, by softmax.
        fault: why it cannot be read, or empty.
    """

    path: Path
    label: int
    probability: float
    fault: str = ""


class Classifier:
    """A network, and how images become its input.

    Args:
        setup: the file and the normalisation.

    Attributes:
        names: of the classes, where the file says them.
        normalisation: whose mean and deviation the images are normalised with, in words.

    Raises:
        CheckpointError: the file does not hold a network that runs without torch.
        ArgumentError: the network takes something else than one image, or the normalisation does
            not fit its channels.
    """

    def __init__(self, setup: Setup) -> None:
        self._network = runtime.load(setup.path, threads=setup.threads)
        shapes = list(self._network.shapes.values())
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] not in (1, 3):
            raise ArgumentError(
                f"`path`={str(setup.path)!r} takes {shapes}, but must take one image of 1 or 3 "
                "channels"
            )
        self._channels, *self._size = shapes[0]
        metrics = self._network.metrics
        names: Any = metrics.get("classes")
        self.names = tuple(map(str, names)) if isinstance(names, list) else ()
        mean: Any = metrics.get("mean")
        std: Any = metrics.get("std")
        known = isinstance(mean, list) and isinstance(std, list)
        if not known:
            mean, std = [0.0], [1.0]
        self._mean = self._per_channel("mean", setup.mean, mean)
        self._std = self._per_channel("std", setup.std, std)
        if (self._std <= 0).any():
            raise ArgumentError(f"`std`={setup.std!r} must be above 0")
        asked = setup.mean is not None or setup.std is not None
        whose = "as in the training" if known else "scaled to 0 to 1"
        self.normalisation = "as asked" if asked else whose

    @property
    def images(self) -> int | None:
        """The only number of images that a call takes, None for any."""
        return self._network.batches.only

    @property
    def most(self) -> int | None:
        """The largest number of images that a call takes, None without a limit."""
        return self._network.batches.most

    def classify(self, paths: Sequence[Path]) -> list[Classified]:
        """The class of each image.

        Args:
            paths: one batch, of a size that the network takes; those that cannot be read count.

        Raises:
            ArgumentError: the network does not give one row of numbers for each image.
        """
        faults: dict[Path, str] = {}
        batch = np.zeros((len(paths), self._channels, *self._size), np.float32)
        for place, path in enumerate(paths):
            try:
                image = read(path, self._channels, (self._size[0], self._size[1]))
            except ImageFault as fault:
                faults[path] = str(fault)
            else:
                batch[place] = (image.astype(np.float32) / np.float32(255) - self._mean) / self._std
        if len(faults) == len(paths):
            return [Classified(path, -1, 0.0, fault) for path, fault in faults.items()]
        scores = self._scores(self._padded(batch))
        labels = scores.argmax(1)
        exponents = np.exp(scores - scores.max(1, keepdims=True))
        shares = exponents.max(1) / exponents.sum(1)
        return [
            Classified(path, -1, 0.0, faults[path])
            if path in faults
            else Classified(path, int(labels[place]), float(shares[place]))
            for place, path in enumerate(paths)
        ]

    def _padded(self, batch: np.ndarray) -> np.ndarray:
        """The last batch, with empty images until it is of the size that the network takes."""
        missing = (self.images or len(batch)) - len(batch)
        return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)])

    def _scores(self, batch: np.ndarray) -> np.ndarray:
        scores = self._network(batch)
        while isinstance(scores, tuple | list) and len(scores) == 1:
            scores = scores[0]
        if not isinstance(scores, np.ndarray) or scores.ndim != 2 or len(scores) != len(batch):
            shape = getattr(scores, "shape", type(scores).__name__)
            raise ArgumentError(
                f"the network gives {shape} for {len(batch)} images, but must give one row of "
                "numbers for each, a number per class"
            )
        return scores

    def _per_channel(
        self, argument: str, asked: Sequence[float] | None, known: Sequence[float]
    ) -> np.ndarray:
        values = np.asarray(known if asked is None else asked, np.float32)
        if values.shape not in ((1,), (self._channels,)):
            raise ArgumentError(
                f"`{argument}`={list(map(float, values))} must be {self._channels} numbers, one "
                "per channel"
            )
        return values[:, None, None]
