"""The way from a network to its smaller self: analyse, cut, compare, and keep what was at fault."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from openwork.capture import Captured, capture
from openwork.compact.branches import dead_branches
from openwork.compact.locate_fault import Blame
from openwork.compact.select import Selection
from openwork.compact.surgery import Cuts, cut_
from openwork.errors import VerificationError
from openwork.flow.analysis import Analysis, analyse
from openwork.nn.layers import replace
from openwork.nn.resize import Zeros
from openwork.verify.compare import Case, Inputs, compare, trained

# Every try keeps more, one place at a time, and the last one everything.
_ATTEMPTS = 100


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A smaller network that gives the same outputs.

    Attributes:
        small: the network, in evaluation mode.
        analysis, selection, cuts: how it came about.
        cases: the comparisons.
        branches: layers that were wholly dead and give plain zeros now.
        training: of a forward pass in training mode, in words.
    """

    small: nn.Module
    analysis: Analysis
    selection: Selection
    cuts: Cuts
    cases: tuple[Case, ...]
    branches: tuple[str, ...]
    training: str

    def put_zeros_(self, model: nn.Module) -> None:
        """Put plain zeros in the place of the dead branches of `model`."""
        put_zeros_(model, self.branches)


def rewrite(
    reference: nn.Module,
    given: Inputs,
    more: Sequence[Inputs],
    round_to: int,
    tolerance: float,
    captured: Captured | None = None,
) -> Rewrite:
    """The smaller network; see `compact`.

    Args:
        reference: on the CPU, in evaluation mode; not changed.
        given, more: inputs of calls.
        round_to: counts of channels are multiples of it where they can be.
        tolerance: largest relative difference.
        captured: `reference`, if it has been captured already.
    """
    analysis = analyse(captured or capture(reference, given), reference)
    branches = dead_branches(analysis, reference)
    if branches:
        base = copy.deepcopy(reference)
        put_zeros_(base, branches)
        whole = analyse(capture(base, given), base)
        found = _cut(reference, base, whole, branches, (given, more, round_to, tolerance))
        if isinstance(found, Rewrite):
            return found
    found = _cut(reference, reference, analysis, (), (given, more, round_to, tolerance))
    if isinstance(found, Rewrite):
        return found
    raise VerificationError(
        f"the compacted network differs from the original by {found:.2e} of its largest output, "
        f"more than `tolerance`={tolerance}, even with every channel in place: the network does "
        "not give the same outputs twice; the original is unchanged"
    )


def put_zeros_(model: nn.Module, names: Sequence[str]) -> None:
    """Put plain zeros in the place of layers."""
    replace(model, {model.get_submodule(name): Zeros() for name in names})


def _cut(
    reference: nn.Module,
    base: nn.Module,
    analysis: Analysis,
    branches: tuple[str, ...],
    how: tuple[Inputs, Sequence[Inputs], int, float],
) -> Rewrite | float:
    """Take out less and less until outputs agree; the difference if they never do."""
    given, more, round_to, tolerance = how
    everything = np.arange(len(analysis.live))
    keep = everything[:0]
    worst = float("inf")
    for left in reversed(range(_ATTEMPTS)):
        selection = Selection(analysis, keep, round_to)
        small = copy.deepcopy(base)
        cuts = cut_(small, analysis, selection)
        cases = compare(reference, small, given, more, tolerance)
        worst = max(case.relative for case in cases)
        failed = not all(case.holds(tolerance) for case in cases)
        training = "" if failed else trained(reference, small, given)
        if not failed and not selection.gone.any():
            training = training or "outputs in training mode are not the same twice"
        if training:
            return Rewrite(small, analysis, selection, cuts, cases, branches, training)
        if not selection.gone.any():
            break
        # The last case is the one that did not hold.
        blame = Blame(base, analysis, cases[-1].inputs or given, train=not failed)
        keep = np.union1d(keep, blame.atoms(small, selection)) if left > 1 else everything
    return worst
