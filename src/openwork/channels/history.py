"""`SparsityHistory`: how dead channels emerge, epoch by epoch."""

import csv
import io
import os
from dataclasses import dataclass

from torch import nn

from openwork._files import write_text
from openwork.nn import LayerTable


@dataclass(frozen=True)
class EpochSparsity:
    """Dead channels after one epoch.

    Attributes:
        epoch: number of the epoch.
        dead: qualified name of each batch norm -> how many of its scales are below the threshold.
    """

    epoch: int
    dead: dict[str, int]


class SparsityHistory:
    """Call it with the model after every epoch: `history(model, epoch)`.

    It reads the scales of batch norms only, so it costs next to nothing.

    Args:
        gamma_below: a channel is dead if |scale| of its batch norm is below; default 1e-3, as in
            "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019).

    Attributes:
        epochs: what was seen so far.
    """

    def __init__(self, gamma_below: float = 1e-3) -> None:
        self.gamma_below = gamma_below
        self.epochs: list[EpochSparsity] = []
        self._channels: dict[str, int] = {}

    def __call__(self, model: nn.Module, epoch: int | None = None) -> EpochSparsity:
        """Note down the dead channels of `model`; `epoch` is by default one more than the last."""
        dead = {}
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                scales = module.weight.detach()
                dead[name] = int((scales.abs() < self.gamma_below).sum())
                self._channels[name] = len(scales)
        last = self.epochs[-1].epoch if self.epochs else 0
        row = EpochSparsity(last + 1 if epoch is None else epoch, dead)
        self.epochs.append(row)
        return row

    def table(self) -> LayerTable:
        """One row a layer: the share of dead channels after each epoch."""
        names = list(self._channels)
        rows = tuple(
            (name, *(row.dead.get(name, 0) / self._channels[name] for row in self.epochs))
            for name in names
        )
        every = max(sum(self._channels.values()), 1)
        total = ("all", *(sum(row.dead.values()) / every for row in self.epochs))
        return LayerTable(("layer", *(str(row.epoch) for row in self.epochs)), rows, total)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row an epoch, one column a layer: counts of dead channels."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["epoch", *self._channels])
        for row in self.epochs:
            writer.writerow([row.epoch, *(row.dead.get(name, 0) for name in self._channels)])
        write_text(path, text.getvalue())
