"""What a cut was asked for and what it came to: maps, kernels, parameters, MACs."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from rich.console import Console
from torch import nn

from openwork.nn import Table, count_macs
from openwork.nn.cost import live_weights
from openwork.prune.units.layers import Layer, connected
from openwork.prune.units.units import Units, rounded_down


class Report:
    """Prints the feasible range before a cut, and the table of it afterwards, on standard error.

    Args:
        model: before the cut.
        units: what is cut.
        example: an input batch to count MACs with, or None, which leaves them out.
        shown: False prints nothing.
    """

    def __init__(
        self, model: nn.Module, units: Units, example: torch.Tensor | None, shown: bool
    ) -> None:
        self._model, self._units, self._example = model, units, example
        self._console = console(shown)

    def begin(self, ratio: float, scope: str, of: str) -> None:
        """Say how much could be cut and how much will be."""
        units = self._units
        count = sum(group.count for group in units.groups)
        self._console.print(
            f"{count:,} {units.noun} in {len(units.chosen)} layers; a ratio from 0 to "
            f"{rounded_down(units.most(scope, of))} is feasible, {ratio:.4g} is asked",
            highlight=False,
            soft_wrap=True,
        )
        for note in units.notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)

    def rung(self, share: float, errors: Sequence[float], best: int) -> None:
        """Say how the candidates stand after being scored on `share` of the data, best first."""
        self._console.print(
            f"{len(errors)} candidates on {share:.4g} of the data: error {errors[0]:.4f} (mask "
            f"{best}) to {errors[-1]:.4f}, median {errors[len(errors) // 2]:.4f}",
            highlight=False,
            soft_wrap=True,
        )

    def end(self, taps: Mapping[str, np.ndarray], ratio: float, of: str) -> None:
        """Show what `taps` leave alive."""
        if not self._console.quiet:
            cut_table(self._model, self._units, taps, ratio, of, self._example).print(self._console)


def console(shown: bool) -> Console:
    """Standard error of the first process, if anything is to be `shown`."""
    return Console(stderr=True, quiet=not shown or os.environ.get("RANK", "0") != "0")


def cut_table(
    model: nn.Module,
    units: Units,
    taps: Mapping[str, np.ndarray],
    ratio: float,
    of: str,
    example: torch.Tensor | None,
) -> Table:
    """The table of a cut that leaves `taps` alive in `model`.

    Maps and kernels are those of the chosen layers, parameters and MACs (one image) those of the
    whole network. The column "pruned" is the share that went. Tied maps count once among the
    "free maps" and for each layer that makes them among the "maps".
    """
    live = sum(group.count for group in units.groups)
    base = live if of == "live" else sum(group.total for group in units.groups)
    links = (
        [units.layers[name].connections for name in units.chosen],
        [connected(taps[name]) for name in units.chosen],
    )
    rows = [
        (f"asked {ratio:.2%} of the {units.noun}", base, units.living(taps)),
        ("maps", *(sum(map(_maps, part)) for part in links)),
        ("kernels", *(sum(int(layer.sum()) for layer in part) for part in links)),
    ]
    weights = live_weights(model)
    gone = {n: int(layer.taps.sum() - taps[n].sum()) for n, layer in units.layers.items()}
    rows.append(("parameters of the network", weights, weights - sum(gone.values())))
    if example is not None:
        macs = count_macs(model, example)
        after = {n: m - m * gone.get(n, 0) // _weights(units.layers, n) for n, m in macs.items()}
        rows.append(("MACs of the network", sum(macs.values()), sum(after.values())))
    table = tuple((what, before, now, f"{1 - now / before:.2%}") for what, before, now in rows)
    return Table(("what", "before", "after", "pruned"), table)


def _maps(links: np.ndarray) -> int:
    """Filters with a live connection in `links` (out, in / groups)."""
    return int(links.any(axis=1).sum())


def _weights(layers: Mapping[str, Layer], name: str) -> int:
    """Live weights of a layer; 1 where nothing can go, of none or of a layer that is not cut."""
    return max(1, int(layers[name].taps.sum())) if name in layers else 1
