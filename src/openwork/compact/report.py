"""`CompactReport`: the outputs that were compared, and what was removed and why."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from openwork._json import write_json
from openwork.compact.locate_fault import module_of
from openwork.compact.rewrite import Rewrite
from openwork.flow.atoms import UNKNOWN
from openwork.flow.context import Opaque
from openwork.nn import Table, count_macs
from openwork.nn.cost import live_weights
from openwork.nn.kinds.reparametrised import reparametrised
from openwork.nn.layers import by_reason
from openwork.verify import ANOTHER_SIZE, Inputs, OutputDifference

# How many operators a note names at most.
_NAMED = 5


@dataclass(frozen=True)
class CompactReport:
    """Evidence that a compacted network computes what the original does, and what was removed.

    Attributes:
        cases: every comparison of outputs.
        layers: one row for each layer: channels before and after, and how many were removed for
            which reason.
        parameters: before and after.
        macs: multiply-adds of one image in convolutions and linear layers, before and after.
        training: what a forward pass in training mode gave, in words.
        kept: how many dead channels were kept, because code relies on their number, groups or
            rounding need them, or they absorb constants.
        branches: names of layers in dead branches, which give zeros now.
        change: with `gamma_below`, how far outputs are from the original's, relative to the
            largest; None without.
        ema: the same for the averaged model; None without.
        scores: with `evaluate`, what it gave for the original and for the copy; None without.
        untrained: names of parameters that are zero and that training has yet to use.
    """

    cases: tuple[OutputDifference, ...]
    layers: Table
    parameters: tuple[int, int]
    macs: tuple[int, int]
    training: str
    kept: int
    branches: tuple[str, ...] = ()
    change: float | None = None
    ema: float | None = None
    scores: tuple[float, float] | None = None
    untrained: tuple[str, ...] = ()

    @property
    def absolute(self) -> float:
        """The largest difference of any output number in any case."""
        return max(case.absolute for case in self.cases)

    @property
    def relative(self) -> float:
        """The largest difference in any case, relative to the largest number of its output."""
        return max(case.relative for case in self.cases)

    def __str__(self) -> str:
        return str(self.layers)

    def print(self) -> None:
        """Print the table to standard output."""
        self.layers.print()

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the table and every comparison to `path`, for `openwork.report.html`.

        Raises:
            OpenworkError: `path` cannot be written; an earlier file there is unharmed.
        """
        numbers = ("what", "shape", "absolute", "relative", "in_float64")
        held = {
            "layers": self.layers.plain(),
            "cases": [{name: getattr(case, name) for name in numbers} for case in self.cases],
            "training": self.training,
            "parameters": self.parameters,
            "macs": self.macs,
            "scores": self.scores,
        }
        write_json(path, held)


def make_report(
    before: nn.Module,
    found: Rewrite,
    given: Inputs,
    change: float | None,
    ema: float | None,
) -> CompactReport:
    """The report of a rewrite.

    Args:
        before: the network that was rewritten.
        found: the rewrite.
        given: inputs `(N, ...)` of one call.
        change, ema: as in `CompactReport`.
    """
    small = found.small
    parameters = (live_weights(before), live_weights(small))
    macs = (_macs(before, given), _macs(small, given))
    gone = found.selection.gone
    kept = sum(
        int((found.selection.dead & ~gone)[weight.out].sum())
        for weight in found.analysis.weights.values()
    )
    report = CompactReport(found.cases, _table(found), parameters, macs, found.training, kept,
        found.branches, change, ema)  # fmt: skip
    notes = (
        *_notes(report, given),
        *_kept_branches(found),
        *_not_followed(found),
        *_not_understood(found),
    )
    return replace(report, layers=replace(report.layers, notes=notes))


def with_scores(report: CompactReport, before: float, after: float) -> CompactReport:
    """`report`, with the user's scores of the original and of the copy."""
    note = f"evaluated: {before:.6g} -> {after:.6g} ({after - before:+.3g})"
    return replace(with_notes(report, note), scores=(before, after))


def with_untrained(report: CompactReport, names: tuple[str, ...], kept: bool) -> CompactReport:
    """`report`, with the parameters that training has yet to use, and whether they were kept."""
    if not names:
        return report
    what = (
        f"{len(names)} parameters are zero and have a gradient, so training has yet to use them "
        f"({_list(names)}): "
    )
    then = (
        "what they hold at zero is kept; allow_untrained=True removes it"
        if kept
        else "what they hold at zero counts as dead, and training the copy will not bring it back"
    )
    return replace(with_notes(report, what + then), untrained=names)


def with_notes(report: CompactReport, *notes: str) -> CompactReport:
    """`report` with more notes under its table."""
    return replace(report, layers=replace(report.layers, notes=(*report.layers.notes, *notes)))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _macs(model: nn.Module, example: Inputs) -> int:
    return sum(count_macs(model, example).values())


def _table(found: Rewrite) -> Table:
    """One row for each layer that lost channels."""
    analysis, gone = found.analysis, found.selection.gone
    read, fixed = found.selection.reasons()
    rows = []
    for weight in analysis.weights.values():
        lost = weight.out[gone[weight.out]]
        inside = weight.inside
        if not len(lost) and not gone[inside].any():
            continue
        unread, constant = int((~read[lost]).sum()), int(fixed[lost].sum())
        rows.append(
            (
                weight.name.rpartition(".")[0],
                f"{len(inside)} -> {len(inside) - gone[inside].sum()}",
                f"{len(weight.out)} -> {len(weight.out) - len(lost)}",
                len(lost) - unread - constant,
                constant,
                unread,
            )
        )
    return Table(("layer", "in", "out", "zero", "constant", "unread"), tuple(rows))


def _notes(report: CompactReport, given: Inputs) -> Iterator[str]:
    before, after = report.parameters
    yield f"parameters: {before:,} -> {after:,} ({after / max(before, 1):.1%})"
    before, after = report.macs
    share = f" ({after / before:.1%})" if before else ""
    yield (
        f"multiply-adds of one image: {before:,} -> {after:,}{share}, counted in convolutions "
        "and linear layers"
    )
    if report.branches:
        yield f"dead branches, zeros now: {', '.join(report.branches)}"
    if report.kept:
        yield (
            f"{report.kept} dead channels are kept: code relies on their number, groups or "
            "rounding need them, or they absorb the constants of others"
        )
    sizes = sorted({"x".join(map(str, case.shape)) for case in report.cases})
    yield (
        f"outputs differ by at most {report.absolute:.1e}, {report.relative:.1e} of the largest, "
        f"over {', '.join(sizes)}; {report.training}"
    )
    images = any(tensor.dim() == 4 for tensor in given)
    if images and not any(case.what == ANOTHER_SIZE for case in report.cases):
        yield "outputs were compared at one image size: the original took no other that was tried"
    if report.change is not None:
        yield f"scales treated as zero change outputs by {report.change:.1e} of the largest"
    if report.ema is not None:
        yield f"outputs of the averaged model change by {report.ema:.1e} of the largest"


def _kept_branches(found: Rewrite) -> Iterator[str]:
    """Notes on dead branches whose layers could only be made narrower."""
    reasons: dict[str, list[str]] = {}
    for names, reason in found.kept_branches:
        reasons.setdefault(reason, []).extend(names)
    for reason, names in reasons.items():
        yield (
            "dead branches are narrower but keep their layers, since zeros in the shape of their "
            f"input do not pass through: {_list(names)} ({reason})"
        )


def _not_followed(found: Rewrite) -> Iterator[str]:
    """Notes on convolutions that the analysis does not follow, and why."""
    convolutions = {
        name: module
        for name, module in found.small.named_modules()
        if isinstance(module, nn.modules.conv._ConvNd)
    }
    followed = {name.rpartition(".")[0] for name in found.analysis.weights}
    known = {type(module) for name, module in convolutions.items() if name in followed}
    reasons: dict[str, str] = {}
    for name, module in convolutions.items():
        why = reparametrised(module)
        # One of a kind that is followed elsewhere does not run.
        if why is None and type(module) not in known:
            why = f"how a {type(module).__name__} uses its weight is not followed"
        if why is not None and name not in followed:
            reasons[name] = why
    for names, why in by_reason(reasons):
        yield f"{names}: {why}; its channels stay as they are"


def _not_understood(found: Rewrite) -> Iterator[str]:
    """A note on operators that are not understood, and how many dead channels they keep."""
    analysis = found.analysis
    groups = analysis.atoms.coupled_groups()
    needed = np.zeros(len(groups), dtype=bool)
    needed[groups[analysis.live & np.isnan(analysis.atoms.value)]] = True
    channels = np.bincount(
        np.concatenate([groups[:0], *(groups[w.out] for w in analysis.weights.values())]),
        minlength=len(groups),
    )
    kept: Counter[str] = Counter()
    for op in analysis.ops:
        if isinstance(op, Opaque) and op.node.op == "call_function":
            read = [groups[layout.ids.reshape(-1)] for layout in op.inputs]
            own = np.unique(np.concatenate([groups[:0], *read]))
            place = module_of(op)
            name = f"{op.node.target} in {place}" if place else str(op.node.target)
            kept[name] += int(channels[own[~needed[own] & (own != groups[UNKNOWN])]].sum())
    worst = [f"{name} ({count})" for name, count in kept.most_common(_NAMED) if count]
    if worst:
        yield f"not understood, so dead channels that they read are kept: {', '.join(worst)}"
