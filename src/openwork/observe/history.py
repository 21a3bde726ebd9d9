"""`SparsityHistory`: how dead channels emerge and layers grow, epoch by epoch."""

import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from openwork._arguments import check_threshold
from openwork._files import check_path, read_text, write_text, writing
from openwork.errors import ArgumentError
from openwork.nn import Table
from openwork.nn.layers import sparse_layers

_COLUMNS = ["epoch", "layer", "dead", "channels", "density"]


@dataclass(frozen=True)
class EpochSparsity:
    """Dead channels and densities after one epoch.

    Attributes:
        epoch: number of the epoch.
        dead: qualified name of each batch norm -> how many of its scales are below the threshold.
        channels: the same -> how many it has.
        density: qualified name of each sparse layer -> share of its weights that live.
    """

    epoch: int
    dead: dict[str, int]
    channels: dict[str, int]
    density: dict[str, float] = field(default_factory=dict)


class SparsityHistory:
    """Call it with the model after every epoch: `history(model, epoch)`.

    Call it in your own loop, or pass it as `on_epoch` of `openwork.train.fit`. It only reads the
    scales of batch norms and counts weights, so it costs next to nothing.

    Args:
        gamma_below: a channel is dead if |scale| of its batch norm is below; default 1e-3, as in
            "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019).
        path: CSV file that is rewritten after every epoch, such as `sparsity.csv` in the run's
            folder. What an earlier part of the run wrote there is read first; an epoch that is
            repeated replaces itself and all after it. None (default) keeps no file.

    Attributes:
        epochs: what was recorded so far.

    Raises:
        ArgumentError: `path` holds something else; `gamma_below` is not a number of at least 0.
    """

    def __init__(
        self, gamma_below: float = 1e-3, path: str | os.PathLike[str] | None = None
    ) -> None:
        check_threshold("gamma_below", gamma_below)
        self.gamma_below = gamma_below
        if path is not None:
            check_path(path)
        self._path = None if path is None else Path(path)
        self.epochs: list[EpochSparsity] = []
        if self._path is not None and os.path.exists(self._path):
            self.epochs = _read(self._path)

    def __call__(self, model: nn.Module, epoch: int | None = None) -> EpochSparsity:
        """Record dead channels and densities; `epoch` is by default one more than the last."""
        last = self.epochs[-1].epoch if self.epochs else 0
        row = EpochSparsity(last + 1 if epoch is None else epoch, {}, {})
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
                scales = module.weight.detach()
                row.dead[name] = int((scales.abs() < self.gamma_below).sum())
                row.channels[name] = len(scales)
        row.density.update((n, each.pattern.density) for n, each in sparse_layers(model).items())
        self.epochs = [*(seen for seen in self.epochs if seen.epoch < row.epoch), row]
        if self._path is not None:
            self.to_csv(self._path)
        return row

    def table(self) -> Table:
        """One row for each layer: the share of dead channels after each epoch."""
        names = dict.fromkeys(name for row in self.epochs for name in row.channels)
        rows = tuple(
            (name, *(row.dead.get(name, 0) / row.channels.get(name, 1) for row in self.epochs))
            for name in names
        )
        shares = [sum(r.dead.values()) / max(sum(r.channels.values()), 1) for r in self.epochs]
        return Table(("layer", *(str(row.epoch) for row in self.epochs)), rows, ("all", *shares))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row for each epoch and layer.

        A batch norm's has the number of dead channels and of all, a sparse layer's its density.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        text = io.StringIO()
        # A network that is dense throughout has no densities to record.
        columns = _COLUMNS if any(row.density for row in self.epochs) else _COLUMNS[:4]
        writer = csv.writer(text)
        writer.writerow(columns)
        for row in self.epochs:
            for name, dead in row.dead.items():
                writer.writerow([row.epoch, name, dead, row.channels[name], ""][: len(columns)])
            for name, density in row.density.items():
                writer.writerow([row.epoch, name, "", "", density])
        with writing(path):
            write_text(path, text.getvalue())


def _read(path: Path) -> list[EpochSparsity]:
    epochs: dict[int, EpochSparsity] = {}
    try:
        for line in csv.DictReader(io.StringIO(read_text(path), newline="")):
            number, layer, dead, channels = (line[column] for column in _COLUMNS[:4])
            row = epochs.setdefault(int(number), EpochSparsity(int(number), {}, {}))
            # Files of earlier versions lack it.
            if density := line.get("density"):
                row.density[layer] = float(density)
            else:
                row.dead[layer], row.channels[layer] = int(dead), int(channels)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise ArgumentError(
            f"`path`={str(path)!r} is not a history of sparsity ({error}); choose another file"
        ) from error
    return list(epochs.values())
