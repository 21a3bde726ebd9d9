"""`Sensitivity`: how much the error rises with the ratio of each layer, and a plan made from it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from openwork._arguments import check_number
from openwork._files import atomic_path, writing
from openwork.errors import ArgumentError
from openwork.nn import Plan, Table


@dataclass(frozen=True)
class LayerSensitivity:
    """The errors of a network in which one layer, or one set of tied layers, is cut.

    Attributes:
        layers: qualified name of the layer, or of each of the tied ones.
        units: how many of its maps, kernels, taps or blocks live.
        errors: for each ratio what `evaluate` returned; None where the ratio leaves nothing.
    """

    layers: tuple[str, ...]
    units: int
    errors: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """What `sensitivity` measured.

    Attributes:
        granularity: what was cut.
        criterion: by which score.
        ratios: of each layer that were tried, ascending.
        baseline: the error of the network as it is.
        layers: one for each layer, or set of tied layers, in order.
        recalibrated: whether batch normalisation was measured again after each cut.
    """

    granularity: str
    criterion: str
    ratios: tuple[float, ...]
    baseline: float
    layers: tuple[LayerSensitivity, ...]
    recalibrated: bool
    # The ratio of each of `layers` -> the plan that cuts them.
    _cut: Callable[[list[float]], Plan] = field(repr=False)

    def ratios_within(self, loss: float) -> dict[str, float]:
        """The largest ratio of each layer at which the error rises by at most `loss`; 0 for none.

        Args:
            loss: how much the error may rise when this layer alone is cut.

        Returns:
            Qualified name -> ratio, as the `ratio` of `by_criterion`.
        """
        chosen = self._within(loss)
        return {
            name: ratio
            for layer, ratio in zip(self.layers, chosen, strict=True)
            for name in layer.layers
        }

    def plan(self, loss: float) -> Plan:
        """The plan that cuts each layer by its ratio of `ratios_within(loss)`.

        With all of them cut, the error rises by more than `loss`: retrain afterwards.

        Raises:
            ArgumentError: no layer can be cut; the message says from which loss on one can.
        """
        chosen = self._within(loss)
        if not any(chosen):
            rises = [
                error - self.baseline
                for layer in self.layers
                for error in layer.errors
                if error is not None
            ]
            raise ArgumentError(
                f"`loss`={loss!r} leaves every layer whole; the least that a cut costs is "
                f"{min(rises):.4g}. Allow more, or measure smaller ratios"
            )
        return self._cut(chosen)

    def _within(self, loss: float) -> list[float]:
        check_number("loss", loss, "of at least 0", lambda value: value >= 0)
        # Errors of shares of images differ from their sum by a rounding.
        limit = self.baseline + loss + 1e-9
        return [
            max((r for r, e in self._measured(layer) if e <= limit), default=0.0)
            for layer in self.layers
        ]

    def _measured(self, layer: LayerSensitivity) -> list[tuple[float, float]]:
        pairs = zip(self.ratios, layer.errors, strict=True)
        return [(ratio, error) for ratio, error in pairs if error is not None]

    def table(self) -> Table:
        """One row for each layer: its units, and the error at each ratio."""
        rows = [(" + ".join(x.layers), x.units, *x.errors) for x in self.layers]
        columns = ("layer", "units", *(f"{ratio:.4g}" for ratio in self.ratios))
        notes = [
            f"error with this share of the {self.granularity} units of one layer cut, by "
            f"{self.criterion}; {self.baseline:.4g} without a cut"
        ]
        if self.recalibrated:
            notes.append("batch normalisation measured again after each cut")
        return Table(columns, tuple(rows), notes=tuple(notes))

    def __str__(self) -> str:
        return str(self.table())

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Write a picture (PNG) to `path`: how much the error rises, by layer and ratio.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        # Here, since nothing else needs matplotlib.
        from openwork.prune.sensitivity_picture import draw

        names = [_short(layer.layers) for layer in self.layers]
        rises = [
            [None if error is None else error - self.baseline for error in layer.errors]
            for layer in self.layers
        ]
        title = (
            f"{self.granularity.replace('_', ' ')}s cut by {self.criterion}, one layer at a time"
        )
        figure = draw(
            names, self.ratios, rises, f"{title}\nerror {self.baseline:.4g} without a cut"
        )
        with writing(path), atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def _short(layers: Sequence[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} + {len(layers) - 1} tied"
