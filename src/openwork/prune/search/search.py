"""`search`: draw masks, score each without retraining, and keep the best."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._arguments import check_count, check_flag, check_seed
from openwork._identity import digest_of
from openwork._mode import evaluation
from openwork.errors import OpenworkError
from openwork.io.plain import plain
from openwork.nn import Plan
from openwork.prune.criteria import drawn
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.report import Report
from openwork.prune.search.log import Score, SearchLog
from openwork.prune.search.masked import Masked
from openwork.prune.search.ranks import Ranks
from openwork.prune.search.successive_halving import rungs
from openwork.prune.stages.checkpoints import with_settings
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
    example: torch.Tensor | None = None,
    seed: int = 0,
    log: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Plan:
    """The least harmful of `candidates` random masks of a trained network, before retraining.

    Each candidate is drawn over all chosen layers at once, so that combinations are judged. Only
    zeros are put into the weights while one is scored, and taken out again bit for bit; the model
    is not copied. Under `torchrun` the processes share the candidates and return the same plan
    as one process would. Apply it with `prune.apply_(model, plan)`, then retrain.

    Args:
        model: the trained network, dense or sparse.
        evaluate: called as `evaluate(model, share)`, gives the error on the first `share` (in
            (0, 1]) of data that neither trained the network nor will test it; lower is better.
            `prune.error_on` makes one.
        granularity, ratio, of, layers, block, example: what is cut, and where; as in
            `by_criterion`.
        candidates: masks that are drawn, default 100, which the paper finds enough up to a ratio
            of 0.4; higher ratios need more.
        halving: score all candidates on 1/16 of the data, the best quarter on 1/4, the best
            quarter of those on all of it (default): a fifth of the work. False scores all of them
            on all data, as the paper does.
        seed: whole number >= 0, default 0; fixes every candidate, on any number of processes.
        log: file that takes each score as it is found, one line of JSON each; a search that was
            stopped goes on from it, and `prune.read_log` reads it. Default none.
        identity: what else decides the scores, such as the data of `evaluate`, as plain data; a
            log that was begun with another one is refused. Default nothing.
        progress: print the feasible range, the scores and the table of the cut on standard error,
            default True.

    Returns:
        Explicit patterns for every layer that is cut, and for those that were sparse already.

    Raises:
        OpenworkError: `evaluate` fails or gives no finite number; the log is kept.
        CheckpointError: `log` is of another search.
        PlanError, ArgumentError, CaptureError: as `by_criterion`.

    Source: the mask selection of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016).
    Halving, and one ratio for every layer, are our reading.
    """
    check_count("candidates", candidates)
    check_seed(seed)
    check_flag("halving", halving)
    example = example_for(model, example)
    units = units_of(model, granularity, layers, block, example)
    units.check_ratio(ratio, "layer", of)
    ratio = float(ratio)
    own = {
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
    with Ranks() as ranks:
        report = Report(model, units, example, progress)
        report.begin(ratio, "layer", of)
        known = plain("identity", with_settings(own, identity))
        scores = SearchLog(known, log if ranks.rank == 0 else None)
        scores.known |= ranks.first(scores.open)
        contest = _Contest(model, evaluate, units, ratio, of, seed, ranks, scores)
        winner = contest.run(rungs(candidates, halving), report)
        taps = contest.taps(winner)
    report.end(taps, ratio, of)
    return plan_of(model, taps)


@dataclass(eq=False)
class _Contest:
    """Candidates by number, and what scoring them takes."""

    model: nn.Module
    evaluate: Evaluate
    units: Units
    ratio: float
    of: str
    seed: int
    ranks: Ranks
    log: SearchLog
    cause: Exception | None = None

    def __post_init__(self) -> None:
        self._masked = Masked(self.units.layers)

    def taps(self, candidate: int) -> dict[str, np.ndarray]:
        """What lives under the mask of `candidate`."""
        scores = drawn(self.units, self.seed, candidate)
        return self.units.masks(scores, self.ratio, of=self.of)

    def run(self, stages: Sequence[tuple[float, int]], report: Report) -> int:
        """The candidate that comes through all of `stages`; of equals the first drawn."""
        alive = list(range(stages[0][1]))
        known = self.log.known
        for share, count in stages:
            alive = alive[:count]
            self._score([c for c in alive if (c, share) not in known], share)
            ranking = sorted((known[c, share], c) for c in alive)
            alive = [candidate for _, candidate in ranking]
            report.rung(share, [error for error, _ in ranking], alive[0])
        return alive[0]

    def _score(self, waiting: Sequence[int], share: float) -> None:
        """Score each of `waiting`, one at a time on each process, and note it down."""
        rank, world = self.ranks.rank, self.ranks.world
        for start in range(0, len(waiting), world):
            mine = waiting[start : start + world][rank : rank + 1]
            outcomes = self.ranks.gather([self._outcome(c, share) for c in mine])
            found: list[Score] = []
            failures: list[str] = []
            for score, failure in itertools.chain.from_iterable(outcomes):
                found += [score] if score else []
                failures += [failure] if failure else []
            self.ranks.first(lambda found=found: self.log.add(found))
            self.log.known |= {(score.candidate, score.share): score.error for score in found}
            if failures:
                raise OpenworkError(f"{failures[0]}{self.log.way_out()}") from self.cause

    def _outcome(self, candidate: int, share: float) -> tuple[Score | None, str]:
        """The candidate's score, or why there is none."""
        try:
            with evaluation(self.model), self._masked.trial(self.taps(candidate)):
                error = error_of(self.model, self.evaluate, share, f"candidate {candidate}")
        except OpenworkError as error:
            self.cause = error
            return None, str(error)
        except Exception as error:
            # Of any kind: the other processes wait, and must hear of it.
            self.cause = error
            return None, f"`evaluate` failed with {type(error).__name__}: {error}"
        return Score(candidate, share, error), ""
