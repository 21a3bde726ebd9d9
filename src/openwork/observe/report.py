"""`ChannelReport`: dead and selective channels by layer, as a table, a picture and advice."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from openwork._files import atomic_path, writing
from openwork._json import write_json
from openwork.nn import Table
from openwork.nn.layers import by_reason
from openwork.observe.advice import advice
from openwork.observe.histogram import tenths


@dataclass(frozen=True, eq=False)
class LayerChannels:
    """What was seen of one layer's channels.

    Attributes:
        name: qualified name of the batch norm, or of the layer where there is none.
        by_scale: `(channels,)` bool, dead by scale; None without a batch norm.
        by_activation: `(channels,)` bool, dead by activation.
        universality: `(channels,)` the share of images that excite each; 1 - selectivity.
    """

    name: str
    by_scale: torch.Tensor | None
    by_activation: torch.Tensor
    universality: torch.Tensor

    @property
    def agreement(self) -> float | None:
        """Share of channels on which both measures agree; None without a batch norm."""
        if self.by_scale is None:
            return None
        return (self.by_scale == self.by_activation).float().mean().item()


@dataclass(frozen=True, eq=False)
class ChannelReport:
    """What `observe` saw of a network's channels.

    Attributes:
        layers: in the order in which they run.
        images: how many were seen.
        gamma_below, activation_below: the thresholds.
        optimizer, batch_size: with which the model was trained; None if unknown.
        stay: layers whose channels `compact` cannot remove as they are -> why.
    """

    layers: tuple[LayerChannels, ...]
    images: int
    gamma_below: float
    activation_below: float
    optimizer: torch.optim.Optimizer | None = None
    batch_size: int | None = None
    stay: Mapping[str, str] = field(default_factory=dict)

    def dead_by_scale(self, layers: Sequence[LayerChannels] | None = None) -> float | None:
        """Share of channels of `layers` (default all) dead by scale; None without batch norms."""
        held = [x.by_scale for x in layers or self.layers if x.by_scale is not None]
        return torch.cat(held).float().mean().item() if held else None

    def dead_by_activation(self, layers: Sequence[LayerChannels] | None = None) -> float:
        """Share of channels of `layers` (default all) dead by activation."""
        return torch.cat([x.by_activation for x in layers or self.layers]).float().mean().item()

    @property
    def halves(self) -> tuple[tuple[LayerChannels, ...], tuple[LayerChannels, ...]]:
        """The early half of the layers, and the late one."""
        middle = (len(self.layers) + 1) // 2
        return self.layers[:middle], self.layers[middle:]

    def table(self) -> Table:
        """One row for each layer: channels, dead ones by each measure, agreement, universality."""
        rows = []
        for layer in self.layers:
            scale = None if layer.by_scale is None else int(layer.by_scale.sum())
            active = layer.universality[~layer.by_activation]
            rows.append(
                (
                    layer.name,
                    len(layer.by_activation),
                    scale,
                    int(layer.by_activation.sum()),
                    layer.agreement,
                    active.mean().item() if len(active) else None,
                    _sketch(layer.universality),
                )
            )
        columns = ("layer", "channels", "dead: scale", "dead: activation", "agreement")
        columns += ("universality", "0 .. 1")
        return Table(columns, tuple(rows), notes=tuple(self._notes()))

    def advice(self) -> list[str]:
        """What this means, and what would give more or fewer dead channels, in plain words."""
        late = self.halves[1] or self.layers
        return advice(
            self.dead_by_activation(),
            self.dead_by_activation(self.halves[0]),
            self.dead_by_activation(late),
            self.optimizer,
            self.batch_size,
        )

    def _notes(self) -> Iterator[str]:
        yield f"{self.images:,} images; dead by scale: |scale| < {self.gamma_below:g}"
        yield f"dead by activation: never above {self.activation_below:g} in any image"
        for what, layers in zip(("early", "late"), self.halves, strict=True):
            if layers:
                scale = self.dead_by_scale(layers)
                words = "" if scale is None else f", {scale:.1%} by scale"
                share = self.dead_by_activation(layers)
                yield f"{what} half of the layers: {share:.1%} dead by activation{words}"
        yield from self.advice()
        for names, why in by_reason(self.stay):
            yield f"compact keeps the channels of {names}: {why}."

    def __str__(self) -> str:
        return str(self.table())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the table to `path`, for `openwork.report.html`.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        write_json(path, {"table": self.table().plain()})

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Write a picture (PNG) to `path`: dead shares by layer, and how universal channels are.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        # Here, since nothing else needs matplotlib.
        from openwork.observe.picture import draw

        figure = draw(
            [layer.name for layer in self.layers],
            [self.dead_by_activation([layer]) for layer in self.layers],
            [self.dead_by_scale([layer]) for layer in self.layers],
            torch.stack([tenths(layer.universality) for layer in self.layers]).numpy(),
        )
        with writing(path), atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def _sketch(universality: torch.Tensor) -> str:
    """The histogram of `universality` (channels,) in ten characters."""
    bars = " ▁▂▃▄▅▆▇█"
    return "".join(bars[-(-int(share * 800) // 100)] for share in tenths(universality).tolist())
