"""Ways to run one layer, timed in turns on this machine."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from openwork.engine.graph import Conv, root
from openwork.engine.program import TorchConv
from openwork.kernels.dispatch import Candidate
from openwork.kernels.problem import Problem

TORCH = "torch"


class Tournament:
    """Ways to run one layer that take turns; the slow ones leave after each round.

    Args:
        conv: the layer.
        problem: the same for the kernels.
        batch: images in a call.
        threads: of torch's pool.
    """

    def __init__(self, conv: Conv, problem: Problem, batch: int, threads: int) -> None:
        self._conv, self._problem = conv, problem
        self._batch, self._threads = batch, threads
        geometry = problem.geometry
        # Its own numbers: compiling leaves torch's random state as it was.
        dice = torch.Generator().manual_seed(0)
        shape = batch, geometry.out_channels, *geometry.out_size
        self._input = _numbers((batch, geometry.in_channels, *geometry.size), dice)
        self._output = _numbers(shape, dice)
        self._residual = _numbers(shape, dice) if len(conv.inputs) > 1 else None
        self._calls: dict[str, Callable[[], None]] = {}
        self._best: dict[str, float] = {}
        self._enter(TORCH, self._torch_call())

    def enter_families(self, families: Iterable[Sequence[Candidate]]) -> None:
        """Try a few tiles of each family, then all tiles of those that come near the best."""
        samples = [(family, _spread(family, 3)) for family in families]
        for _, sample in samples:
            for candidate in sample:
                self._try(candidate)
        limit = _FAMILY_MARGIN * min(self._best.values())
        for family, sample in samples:
            if min(self._best[c.name] for c in sample) <= limit:
                for candidate in family:
                    self._try(candidate)

    @property
    def standing(self) -> dict[str, float]:
        """Best seconds so far of those still in, "torch" among them."""
        return dict(self._best)

    def finish(self) -> tuple[str, float, float]:
        """The winner of the last rounds, its seconds and torch's."""
        for keep, turns in _ROUNDS:
            names = sorted(self._best, key=lambda name: self._best[name])[:keep]
            names += [] if TORCH in names else [TORCH]
            self._best = {name: self._best[name] for name in names}
            for _ in range(turns):
                for name in names:
                    self._best[name] = min(self._best[name], _seconds(self._calls[name]))
        winner = min(self._best, key=lambda name: self._best[name])
        native = [name for name in self._best if name != TORCH]
        if winner == TORCH and native:
            # A native layer saves a call from Python besides: torch must be clearly faster.
            second = min(native, key=lambda name: self._best[name])
            if self._best[second] < _TORCH_MARGIN * self._best[TORCH] + _CALL_SECONDS:
                winner = second
        return winner, self._best[winner], self._best[TORCH]

    def _try(self, candidate: Candidate) -> None:
        if candidate.name in self._calls:
            return
        # It takes tensors too, which the extension's generated stub does not say.
        layer: Any = candidate.build(self._problem)
        workspace = torch.empty(layer.workspace(self._batch, self._threads), dtype=torch.float32)
        self._enter(
            candidate.name,
            lambda: layer.run(self._input, self._output, self._residual, workspace, self._threads),
        )

    def _torch_call(self) -> Callable[[], None]:
        runner = TorchConv(self._conv)
        held: dict[object, torch.Tensor] = {root(self._conv.inputs[0]): self._input}
        if self._residual is not None:
            held[root(self._conv.inputs[1])] = self._residual
        return lambda: runner.run(held, self._batch, self._threads)

    def _enter(self, name: str, call: Callable[[], None]) -> None:
        call()
        self._calls[name] = call
        self._best[name] = _seconds(call)


# Families whose best sample is slower than this many times the best so far are not looked into.
_FAMILY_MARGIN = 1.6
# (contenders kept, turns) of the last rounds.
_ROUNDS = ((8, 2), (3, 5), (2, 8))
_TORCH_MARGIN = 1.03
# What calling torch from Python costs beyond calling the program's next step.
_CALL_SECONDS = 1e-5


def _numbers(shape: tuple[int, ...], dice: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=dice, dtype=torch.float32)


def _spread(family: Sequence[Candidate], count: int) -> list[Candidate]:
    """`count` candidates from all along the list."""
    if len(family) <= count:
        return list(family)
    return [family[(2 * index + 1) * len(family) // (2 * count)] for index in range(count)]


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
