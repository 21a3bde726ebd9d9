"""`rewrite`: analyse a network, cut it, compare the outputs, and keep more where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from openwork._copy import copied
from openwork._unchanged import unchanged
from openwork.capture import Captured, capture
from openwork.compact.branches import Branch, dead_branches, put_zeros_, zero_branches
from openwork.compact.locate_fault import locate_fault
from openwork.compact.select import Selection
from openwork.compact.surgery import Cuts, cut_
from openwork.compact.untrained import as_if_trained
from openwork.errors import CaptureError
from openwork.flow.analysis import Analysis, analyse
from openwork.verify import (
    Inputs,
    OutputDifference,
    compare,
    compare_many,
    compare_training,
    refusal,
)

# Each attempt keeps the channels of one more place, and the last one all channels.
_ATTEMPTS = 100


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A smaller network that gives the same outputs.

    Attributes:
        small: the network, in evaluation mode.
        analysis, selection, cuts: what was known, what was removed, and how tensors were cut.
        cases: the comparisons of outputs.
        branches: names of layers in dead branches, which give zeros now.
        training: what a forward pass in training mode gave, in words.
        kept_branches: dead branches that do not give zeros, each with the reason in words.
    """

    small: nn.Module
    analysis: Analysis
    selection: Selection
    cuts: Cuts
    cases: tuple[OutputDifference, ...]
    branches: tuple[str, ...]
    training: str
    kept_branches: tuple[tuple[Branch, str], ...] = ()

    def put_zeros_(self, model: nn.Module) -> None:
        """Replace the layers in dead branches of `model` by zeros."""
        put_zeros_(model, self.branches)


@dataclass(frozen=True, eq=False)
class _Settings:
    """What every attempt has in common.

    Attributes:
        reference: the original, with which each attempt is compared.
        given, more: inputs of calls.
        round_to: the numbers of kept channels are multiples of it where they can be.
        tolerance: largest relative difference.
    """

    reference: nn.Module
    given: Inputs
    more: Sequence[Inputs]
    round_to: int
    tolerance: float


def rewrite(
    reference: nn.Module,
    given: Inputs,
    more: Sequence[Inputs],
    round_to: int,
    tolerance: float,
    captured: Captured,
    untrained: Sequence[str] = (),
) -> Rewrite:
    """The smaller network; see `compact`.

    Args:
        reference: on the CPU, in evaluation mode; not changed.
        given, more: tensors `(N, ...)` of one call, and of more calls.
        round_to: the numbers of kept channels are multiples of it where they can be.
        tolerance: largest relative difference.
        captured: the graph of `reference`.
        untrained: names of parameters whose zeros count as unknown numbers.

    Raises:
        VerificationError: outputs differ even with every channel in place.
    """
    settings = _Settings(reference, given, more, round_to, tolerance)
    analysis = analyse(as_if_trained(captured, untrained), reference)
    branches = dead_branches(analysis, reference)
    zeroed = zero_branches(reference, branches, lambda base: _objection(base, settings))
    kept = zeroed.kept
    if zeroed.names:
        try:
            whole = capture(zeroed.model, given)
        except CaptureError as error:
            # The original is captured already, so that it can be cut without zeros.
            kept += ((zeroed.names, _first_line(error)),)
        else:
            left = analyse(as_if_trained(whole, untrained), zeroed.model)
            found = _cut(zeroed.model, left, zeroed.names, settings)
            if isinstance(found, Rewrite):
                return replace(found, kept_branches=kept)
    found = _cut(reference, analysis, (), settings)
    if isinstance(found, Rewrite):
        return replace(found, kept_branches=kept)
    raise refusal(
        "the compacted network",
        found,
        reference,
        tolerance,
        "even with every channel in place: the network does not give the same outputs twice",
    )


def _objection(rewritten: nn.Module, settings: _Settings) -> str | None:
    """Why `rewritten` does not stand for the reference, in words; None if it does."""
    found = compare(settings.reference, rewritten, settings.given, settings.tolerance)
    if found.error is not None:
        return _first_line(found.error)
    if not found.holds(settings.tolerance):
        return f"outputs differ by {found.relative:.1e} of the largest"
    if compare_training(settings.reference, rewritten, settings.given) is None:
        return "the network does not run in training mode then"
    return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _cut(
    base: nn.Module, analysis: Analysis, branches: tuple[str, ...], settings: _Settings
) -> Rewrite | OutputDifference:
    """Remove less and less from `base` until outputs agree; the difference if they never do."""
    reference, given, tolerance = settings.reference, settings.given, settings.tolerance
    everything = np.arange(len(analysis.live))
    keep = everything[:0]
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        selection = Selection(analysis, keep, settings.round_to)
        small = copied(base)
        cuts = cut_(small, analysis, selection)
        with unchanged(small):
            cases = compare_many(reference, small, given, settings.more, tolerance)
        failed = not cases[-1].holds(tolerance)
        whole = not selection.gone.any()
        training = None if failed else compare_training(reference, small, given)
        if training is None and not failed and whole:
            training = "outputs in training mode are not the same twice"
        if training is not None:
            return Rewrite(small, analysis, selection, cuts, cases, branches, training)
        if whole:
            return cases[-1]
        inputs = cases[-1].inputs or given
        fault = locate_fault(base, small, analysis, selection, inputs, train=not failed)
        keep = np.union1d(keep, fault) if attempts > 1 else everything
