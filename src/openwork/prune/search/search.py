"""`search`: draw masks, score each without retraining, and keep the best."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from openwork._arguments import check_count, check_flag, check_seed
from openwork._identity import digest_of, with_settings
from openwork.cluster.tasks import Cluster
from openwork.errors import ArgumentError, OpenworkError
from openwork.io.plain import plain
from openwork.nn import Plan
from openwork.prune.criteria import drawn
from openwork.prune.error_of import Evaluate
from openwork.prune.held_out import HeldOutError, check_enough
from openwork.prune.report import Report
from openwork.prune.search.log import Score, SearchLog
from openwork.prune.search.masked_trial import MaskedTrial
from openwork.prune.search.process_group import ProcessGroup
from openwork.prune.search.successive_halving import halving_rounds
from openwork.prune.units.granularity import example_for, units_of
from openwork.prune.units.layers import Layers, plan_of
from openwork.prune.units.units import Units


def search(
    model: nn.Module,
    evaluate: Evaluate,
    *,
    granularity: str = "kernel",
    ratio: float,
    candidates: int = 100,
    halving: bool = True,
    of: str = "live",
    layers: Layers = None,
    block: tuple[int, int] = (4, 1),
    example: Any = None,
    seed: int = 0,
    log: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    ray: str | None = None,
    progress: bool = True,
) -> Plan:
    """Find the least harmful of `candidates` random masks of a trained network.

    Each candidate is drawn over all chosen layers at once, so that combinations are judged. To
    score one without retraining, weights are set to zero and restored bit for bit; the model is
    not copied. Under `torchrun` the processes share the candidates and return the same plan as
    one process would. Apply it with `prune.apply_(model, plan)`, then retrain.

    Args:
        model: the trained network, dense or sparse.
        evaluate: called as `evaluate(model, share)`, returns the error on the first `share` (in
            (0, 1]) of data that neither trained the network nor will test it; lower is better.
            `prune.error_on` makes one.
        granularity, ratio, of, layers, block, example: what is cut, and where; as in
            `by_criterion`.
        candidates: number of masks to draw, default 100, which the paper finds enough up to a
            ratio of 0.4; higher ratios need more.
        halving: score all candidates on 1/16 of the data, the best quarter on 1/4, the best
            quarter of those on all of it (default): a fifth of the work. False scores all of them
            on all data, as the paper does. With `prune.error_on` a round that would have fewer
            images than candidates is left out.
        seed: whole number >= 0, default 0; determines every candidate, on any number of processes.
        log: file that keeps each score as soon as it is measured, one line of JSON each. A search
            that was stopped resumes from it, and `prune.read_log` reads it. Default none.
        identity: what else determines the scores, such as the data of `evaluate`, as plain data; a
            log that was started with another one is refused. Default nothing.
        ray: Ray cluster that scores the candidates: "local" starts one on this machine, "auto"
            finds the one that runs here, else "HOST:PORT". Each candidate is a task on one
            processor and one thread; one whose worker dies is scored again. The scores are those
            of a single process with one thread. Default none.
        progress: print the feasible range, the scores and the table of the cut on standard error,
            default True.

    Returns:
        Explicit patterns for every layer that is cut, and for those that were sparse already. Each
        has the shape of the layer's dense weight, `(out, in / groups, kh, kw)` or `(out, in)`.

    Raises:
        ArgumentError: there are more candidates than images in the data of `prune.error_on`; no
            cluster is found, or the network cannot be sent to it; `ray` under `torchrun`.
        OpenworkError: `evaluate` fails or does not return a finite number; the log is kept.
        CheckpointError: `log` is of another search.
        PlanError, ArgumentError, CaptureError: as `by_criterion`.

    Source: the mask selection of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016).
    Halving, and one ratio for every layer, are our reading.
    """
    check_count("candidates", candidates)
    check_seed(seed)
    check_flag("halving", halving)
    cluster = None if ray is None else Cluster(ray)
    images = evaluate.images if isinstance(evaluate, HeldOutError) else None
    if images is not None:
        check_enough(images, candidates)
    example = example_for(model, example)
    units = units_of(model, granularity, layers, block, example)
    units.check_ratio(ratio, "layer", of)
    ratio = float(ratio)
    arguments = {
        "kind": "search",
        "model": digest_of(model),
        "granularity": granularity,
        "ratio": ratio,
        "candidates": candidates,
        "halving": halving,
        "of": of,
        "layers": list(units.chosen),
        "block": [int(side) for side in block],
        "seed": seed,
    }
    with ProcessGroup() as processes, cluster or contextlib.nullcontext():
        if cluster is not None and processes.size > 1:
            raise ArgumentError(f"`ray`={ray!r} under torchrun: use one of the two")
        report = Report(model, units, example, progress)
        report.begin(f"{ratio:.4g}", "layer", of)
        full_identity = plain("identity", with_settings(arguments, identity))
        scores = SearchLog(full_identity, log if processes.rank == 0 else None)
        scores.errors |= processes.run_on_first(scores.open)
        trial = MaskedTrial(model, evaluate, units.layers)
        contest = _Contest(trial, units, ratio, of, seed, processes, cluster, scores)
        winner = contest.run(halving_rounds(candidates, halving, images), report)
        masks = contest.masks(winner)
    report.end(masks, ratio, of)
    return plan_of(model, masks)


@dataclass(frozen=True)
class _Outcome:
    """The score of a candidate, or the reason why there is none."""

    score: Score | None
    failure: str = ""
    cause: Exception | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Not every exception can be sent to another process.
        return _Outcome, (self.score, self.failure)


def _outcome(
    trial: MaskedTrial, candidate: int, share: float, masks: Mapping[str, np.ndarray]
) -> _Outcome:
    try:
        error = trial.error(masks, share, f"candidate {candidate}")
    except OpenworkError as error:
        return _Outcome(None, str(error), error)
    except Exception as error:
        # Every kind of error: the other processes wait, and must hear of it.
        return _Outcome(None, f"`evaluate` failed with {type(error).__name__}: {error}", error)
    return _Outcome(Score(candidate, share, error))


@dataclass(eq=False)
class _Contest:
    """The candidates, by number, and what is needed to score them."""

    trial: MaskedTrial
    units: Units
    ratio: float
    of: str
    seed: int
    processes: ProcessGroup
    cluster: Cluster | None
    log: SearchLog

    def masks(self, candidate: int) -> dict[str, np.ndarray]:
        """The masks of `candidate`, by layer."""
        scores = drawn(self.units, self.seed, candidate)
        return self.units.masks(scores, self.ratio, of=self.of)

    def run(self, rounds: Sequence[tuple[float, int]], report: Report) -> int:
        """The candidate that wins the last of `rounds`; among equals the one drawn first."""
        alive = list(range(rounds[0][1]))
        errors = self.log.errors
        for share, count in rounds:
            alive = alive[:count]
            self._score([c for c in alive if (c, share) not in errors], share)
            ranking = sorted((errors[c, share], c) for c in alive)
            alive = [candidate for _, candidate in ranking]
            report.end_round(share, [error for error, _ in ranking], alive[0])
        return alive[0]

    def _score(self, waiting: Sequence[int], share: float) -> None:
        """Score each of `waiting`, and record each score as soon as it is known."""
        if self.cluster is None:
            rounds = self._by_processes(waiting, share)
        else:
            rounds = self._by_cluster(self.cluster, waiting, share)
        for outcomes in rounds:
            scores = [outcome.score for outcome in outcomes if outcome.score]
            self.processes.run_on_first(lambda scores=scores: self.log.add(scores))
            self.log.errors |= {(score.candidate, score.share): score.error for score in scores}
            for outcome in outcomes:
                if outcome.failure:
                    raise OpenworkError(f"{outcome.failure}{self.log.way_out()}") from outcome.cause

    def _by_processes(self, waiting: Sequence[int], share: float) -> Iterator[list[_Outcome]]:
        """One candidate at a time on each process."""
        rank, size = self.processes.rank, self.processes.size
        for start in range(0, len(waiting), size):
            mine = waiting[start : start + size][rank : rank + 1]
            found = [_outcome(self.trial, c, share, self.masks(c)) for c in mine]
            by_rank = self.processes.gather(found)
            by_rank[rank] = found
            yield list(itertools.chain.from_iterable(by_rank))

    def _by_cluster(
        self, cluster: Cluster, waiting: Sequence[int], share: float
    ) -> Iterator[list[_Outcome]]:
        """Each candidate as a task, in the order in which they end."""
        calls = ((c, share, self.masks(c)) for c in waiting)
        gpus = int(self.trial.on_accelerator())
        for _, outcome in cluster.run(_outcome, self.trial, calls, gpus=gpus):
            yield [outcome]
