"""`Tournament`: ways to run one layer, timed in turns on this machine."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from openwork.kernels.candidate import Candidate
from openwork.kernels.problem import Problem
from openwork.kernels.remembered import is_steady, spread
from openwork.kernels.similar import tile_distance
from openwork.runtime.memory import empty_floats

__all__ = ["Tournament"]


class Tournament:
    """Ways to run one layer that take turns; the slow ones are dropped after each round.

    Args:
        problem: the layer.
        has_residual: whether a second map is added to its output.
        batch: images in a call.
        threads: of the OpenMP pool.

    Attributes:
        batch, threads: as above.
        input: `(batch, in_channels, height, width)` float32, what every call reads.
        output: of the output's shape, what the kernels write.
        residual: of the output's shape, or None.
        times: least seconds of a call so far, by name, of those not dropped yet.
        spread: of the winner's times in the last round; see `remembered.spread`.
    """

    def __init__(self, problem: Problem, has_residual: bool, batch: int, threads: int) -> None:
        self.batch, self.threads = batch, threads
        self._problem = problem
        geometry = problem.geometry
        rng = np.random.default_rng(0)
        shape = batch, geometry.out_channels, *geometry.out_size
        self.input = _numbers((batch, geometry.in_channels, *geometry.size), rng)
        self.output = _numbers(shape, rng)
        self.residual = _numbers(shape, rng) if has_residual else None
        self.times: dict[str, float] = {}
        self.spread = float("inf")
        self._calls: dict[str, Callable[[], None]] = {}

    def add(self, name: str, call: Callable[[], None]) -> None:
        """Time one call, and let it take part in what follows."""
        call()
        self._calls[name] = call
        self.times[name] = _seconds(call)

    def add_families(self, families: Iterable[Sequence[Candidate]]) -> None:
        """Try a few tiles of each family, and of those that come near the best what is promising.

        That is: tiles like the best ones of the family so far, until all of those are known.
        """
        samples = [(family, _spread(family, 3)) for family in families if family]
        for _, sample in samples:
            for candidate in sample:
                self._add_candidate(candidate)
        limit = _FAMILY_MARGIN * min(self.times.values(), default=0.0)
        for family, sample in samples:
            if min(self.times[c.name] for c in sample) <= limit:
                self._climb(family, sample)

    def finish(self, always: Collection[str] = ()) -> dict[str, float]:
        """Time the best repeatedly; returns the least seconds of the few that remain.

        The last round is repeated while the winner's times spread, as on a busy machine.

        Args:
            always: names that are not dropped, however slow.
        """
        for keep, turns in _ROUNDS:
            names = sorted(self.times, key=lambda name: self.times[name])[:keep]
            names += [name for name in always if name not in names]
            self.times = {name: self.times[name] for name in names}
            self._take_turns(turns)
        for _ in range(_REPEATS):
            if is_steady(self.spread):
                break
            self._take_turns(_ROUNDS[-1][1])
        return dict(self.times)

    def _take_turns(self, turns: int) -> None:
        taken: dict[str, list[float]] = {name: [] for name in self.times}
        for _ in range(turns):
            for name, seconds in taken.items():
                seconds.append(_seconds(self._calls[name]))
                self.times[name] = min(self.times[name], seconds[-1])
        if taken:
            winner = min(self.times, key=lambda name: self.times[name])
            self.spread = spread([self.times[winner], *taken[winner]])

    def _climb(self, family: Sequence[Candidate], known: Sequence[Candidate]) -> None:
        """Try the tiles of `family` that are most like the best of the `known` ones, repeatedly."""
        known = list(known)
        while True:
            best = sorted(known, key=lambda each: self.times[each.name])[:_CLIMBED]
            new = [each for one in best for each in _nearest(family, one) if each not in known]
            if not new:
                return
            for candidate in new:
                self._add_candidate(candidate)
                known += [candidate] if candidate not in known else []

    def _add_candidate(self, candidate: Candidate) -> None:
        if candidate.name in self._calls:
            return
        layer = candidate.build(self._problem)
        workspace = empty_floats(layer.workspace(self.batch, self.threads))
        self.add(
            candidate.name,
            lambda: layer.run(self.input, self.output, self.residual, workspace, self.threads),
        )


# A family is dropped if its best sample takes this many times the best time so far.
_FAMILY_MARGIN = 1.6
# The best tiles whose neighbours are tried, and how many of those. Of 65 tiles of a sparse product
# 23 are measured, and the best of them takes 1.5 % longer than the best of all (125 layers of
# ResNet-50, DenseNet-121 and VGG-16); with one and six 15, and 3.1 %.
_CLIMBED, _NEIGHBOURS = 2, 6
# (contenders kept, turns) of the last rounds; how often the last is repeated at most.
_ROUNDS, _REPEATS = ((8, 2), (3, 5), (2, 8)), 4


def _numbers(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    array = empty_floats(*shape)
    rng.random(out=array, dtype=np.float32)
    return array


def _nearest(family: Sequence[Candidate], to: Candidate) -> list[Candidate]:
    others = [each for each in family if each is not to]
    return sorted(others, key=lambda each: tile_distance(each.name, to.name))[:_NEIGHBOURS]


def _spread(family: Sequence[Candidate], count: int) -> list[Candidate]:
    """`count` candidates, evenly spaced over the list."""
    if len(family) <= count:
        return list(family)
    return [family[(2 * index + 1) * len(family) // (2 * count)] for index in range(count)]


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
