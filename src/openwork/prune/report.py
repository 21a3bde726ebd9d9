"""What a cut was asked for and what it achieved, in maps, kernels, parameters and MACs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from torch import nn

from openwork._terminal import counted, literal
from openwork.nn import Table, count_macs
from openwork.prune.left import macs_left, parameters_left
from openwork.prune.units.layers import connected
from openwork.prune.units.units import Units, rounded_down


class Report:
    """Prints the feasible range before a cut and its table afterwards, on standard error.

    Args:
        model: the network before the cut.
        units: the units to cut.
        example: an input batch (N, ...) to count MACs with; None leaves MACs out.
        shown: False prints nothing.
    """

    def __init__(self, model: nn.Module, units: Units, example: Any, shown: bool) -> None:
        self._model, self._units, self._example = model, units, example
        self._console = console(shown)

    def begin(self, asked: str, scope: str, of: str) -> None:
        """Print how much could be cut, and how much is `asked`."""
        units = self._units
        count = sum(group.count for group in units.groups)
        self.say(
            f"{count:,} {units.noun} in {counted(len(units.chosen), 'layer')}; a ratio from 0 to "
            f"{rounded_down(units.max_ratio(scope, of))} is feasible, {asked} is asked"
        )
        for note in units.notes:
            self.say(note)

    def end_round(self, share: float, errors: Sequence[float], best: int) -> None:
        """Print the errors of the candidates on `share` of the data; `errors` are ascending."""
        all_tie = len(errors) > 1 and errors[0] == errors[-1]
        tied = "; all tie, so the first ones drawn are kept: hold out more data" if all_tie else ""
        self.say(
            f"{counted(len(errors), 'candidate')} on {share:.4g} of the data: error "
            f"{errors[0]:.4f} (mask {best}) to {errors[-1]:.4f}, median "
            f"{errors[len(errors) // 2]:.4f}{tied}"
        )

    def end(self, masks: Mapping[str, np.ndarray], ratio: float | None, of: str) -> None:
        """Print the table of a cut that leaves `masks` alive; `ratio` is None if they differ."""
        if not self._console.quiet:
            table = cut_table(self._model, self._units, masks, ratio, of, self._example)
            table.print(self._console)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(literal(text), soft_wrap=True)


def console(shown: bool) -> Console:
    """A console on standard error; quiet unless `shown`, and on every process but the first."""
    return Console(stderr=True, quiet=not shown or os.environ.get("RANK", "0") != "0")


def cut_table(
    model: nn.Module,
    units: Units,
    masks: Mapping[str, np.ndarray],
    ratio: float | None,
    of: str,
    example: Any,
) -> Table:
    """The table of a cut that leaves `masks` alive in `model`.

    Maps and kernels are counted in the layers that are cut; parameters and MACs (of one image) in
    the whole network. The column "pruned" is the share that was removed. Tied maps count once
    among the "free maps", and once for each layer that produces them among the "maps".

    Args:
        model: the network before the cut.
        units: the units that are cut.
        masks: layer -> boolean array of the shape of its dense weight.
        ratio, of: what was asked for; None for no single ratio.
        example: an input batch (N, ...) to count MACs with, or None.
    """
    live = sum(group.count for group in units.groups)
    base = live if of == "live" else sum(group.total for group in units.groups)
    before = [units.layers[name].connections for name in units.chosen]
    after = [connected(masks[name]) for name in units.chosen]
    rows = [
        (
            units.noun if ratio is None else f"asked {ratio:.2%} of the {units.noun}",
            base,
            units.count_alive(masks),
        ),
        ("maps", _maps(before), _maps(after)),
        ("kernels", _kernels(before), _kernels(after)),
    ]
    rows.append(("parameters of the network", *parameters_left(model, units, masks)))
    if example is not None:
        macs = count_macs(model, example)
        rows.append(("MACs of the network", *macs_left(macs, units, masks)))
    table = tuple((what, old, new, f"{1 - new / old:.2%}") for what, old, new in rows)
    return Table(("what", "before", "after", "pruned"), table)


def _maps(layers: Sequence[np.ndarray]) -> int:
    """Filters with a live connection, given the connections (out, in / groups) of each layer."""
    return sum(int(connections.any(axis=1).sum()) for connections in layers)


def _kernels(layers: Sequence[np.ndarray]) -> int:
    return sum(int(connections.sum()) for connections in layers)
