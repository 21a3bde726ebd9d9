"""What a cut aims at: a ratio, one for each layer, a share of the network, or a time."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from openwork._arguments import check_choice, check_count, check_density
from openwork._call import Call
from openwork.errors import ArgumentError
from openwork.nn import count_macs
from openwork.nn.timing.in_time import check_milliseconds
from openwork.prune.layer_ratios import ratio_by_group
from openwork.prune.left import check_one_aim, macs_left, parameters_left, ratio_that_leaves
from openwork.prune.report import Report
from openwork.prune.timed_cut import ratios_in_time
from openwork.prune.units.granularity import example_for
from openwork.prune.units.units import SCOPES, SHARES, ConnectionUnits, Ratio, Units


@dataclass(frozen=True)
class Aim:
    """How much is cut; the arguments are those of `by_criterion`.

    Attributes:
        ratio, macs, parameters, milliseconds: one of them is given.
        scope, of: what a ratio means.
    """

    ratio: Any
    macs: Any
    parameters: Any
    milliseconds: Any
    scope: str
    of: str

    def check(self, model: nn.Module, example: Any) -> None:
        """Refuse what no cut can meet.

        Args:
            model: the network.
            example: what the caller gave, or None.

        Raises:
            ArgumentError: none or several of them are given, or one does not go with the others.
        """
        aims = {name: getattr(self, name) for name in _AIMS}
        name = check_one_aim(aims)
        check_choice("scope", self.scope, SCOPES)
        check_choice("of", self.of, SHARES)
        if name in ("macs", "parameters"):
            check_density(aims[name], name)
        if name == "macs" and example_for(model, example) is None:
            raise ArgumentError("`macs` needs `example`, an input batch (N, ...), to count them")
        if name == "milliseconds":
            check_milliseconds(self.milliseconds, example)
            if self.of != "live":
                raise ArgumentError("`of`='all' does not go with `milliseconds`; use 'live'")
        if self.scope == "global" and isinstance(self.ratio, Mapping):
            raise ArgumentError(
                "`scope`='global' has one ratio for all layers; give one, or use 'layer'"
            )

    @property
    def words(self) -> str:
        """What is asked, for people."""
        if isinstance(self.ratio, Mapping):
            return ", ".join(f"{ratio:.4g} for {glob}" for glob, ratio in self.ratio.items())
        if self.ratio is not None:
            return f"{self.ratio:.4g}"
        if self.milliseconds is not None:
            return f"a time of {self.milliseconds:.4g} ms"
        if self.macs is not None:
            return f"at most {self.macs:.2%} of the MACs"
        return f"at most {self.parameters:.2%} of the parameters"

    def begin(self, units: Units) -> None:
        """Refuse a ratio that `units` cannot reach, before anything is computed."""
        if self.ratio is not None:
            units.check_ratio(self._given(units), self.scope, self.of)

    def ratio_for(
        self,
        model: nn.Module,
        units: Units,
        scores: Sequence[np.ndarray],
        example: Call | None,
        report: Report,
    ) -> Ratio:
        """The ratio, or that of each group, by which the aim is met.

        Args:
            model: the network.
            units: what is cut.
            scores: an array for each group, of `units.shapes`.
            example: an input batch (N, ...), or None.
            report: takes what was measured.
        """
        if self.ratio is not None:
            ratio = self._given(units)
            return ratio if isinstance(ratio, list) else float(ratio)
        if self.milliseconds is not None:
            ratios, taken = ratios_in_time(
                model, units, scores, self.scope, self.milliseconds, example
            )
            report.say(f"asked {self.milliseconds:.4g} ms; the compiled network takes {taken:.4g}")
            return ratios
        what = "parameters" if self.macs is None else "macs"
        macs = count_macs(model, example) if what == "macs" else {}
        return ratio_that_leaves(
            what,
            getattr(self, what),
            units,
            lambda ratio: units.masks(scores, ratio, self.scope, self.of),
            lambda masks: (
                macs_left(macs, units, masks)
                if what == "macs"
                else parameters_left(model, units, masks)
            ),
            units.max_ratio(self.scope, self.of),
        )

    def _given(self, units: Units) -> Any:
        if isinstance(self.ratio, Mapping):
            return ratio_by_group(units, self.ratio)
        return self.ratio


_AIMS = ("ratio", "macs", "parameters", "milliseconds")


def rounded(units: Units, granularity: str, round_to: int) -> Units:
    """`units` of which a multiple of `round_to` is left in each layer that is cut.

    Raises:
        ArgumentError: they are not feature maps, or `round_to` is not a count.
    """
    check_count("round_to", round_to)
    if round_to == 1:
        return units
    if granularity != "feature_map" or not isinstance(units, ConnectionUnits):
        raise ArgumentError(
            f"`round_to`={round_to} counts feature maps, and `granularity`={granularity!r} does "
            "not remove whole ones; use 'feature_map', or leave it out"
        )
    return dataclasses.replace(units, round_to=round_to)
