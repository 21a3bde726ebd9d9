"""Which kernel and tile runs a layer: measured on this machine, remembered, or requested."""

import fnmatch
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openwork.engine.fallback import TorchConv
from openwork.engine.runners import Choice
from openwork.errors import ArgumentError
from openwork.kernels.dispatch import candidates_by_family, worth_measuring
from openwork.kernels.narrow.pair_tile import has_pairs
from openwork.kernels.problem import Problem
from openwork.kernels.remembered import is_steady, read_remembered, remember, remembered_path
from openwork.kernels.similar import similar_candidate
from openwork.runtime.layers import DENSE, TORCH, find_candidate, is_large_and_dense
from openwork.runtime.nodes import Conv
from openwork.runtime.tournament import Tournament
from openwork.runtime.values import root

_FORMAT = 5


def requested(conv: Conv, kernels: Mapping[str, str | Sequence[str]], isa: str) -> Choice | None:
    """The choice that `kernels` makes for `conv`; None if it says nothing about it.

    Args:
        conv: the layer.
        kernels: glob over layer names -> glob over kernel names, or several, the first that fits.
            The first glob that fits the layer counts.
        isa: instruction set.

    Raises:
        ArgumentError: no kernel that can run the layer fits.
    """
    for layers, wanted in kernels.items():
        if not fnmatch.fnmatchcase(conv.layer, layers):
            continue
        families = candidates_by_family(conv.problem(), isa)
        names = [TORCH, *(c.name for family in families.values() for c in family)]
        globs = [wanted] if isinstance(wanted, str) else list(wanted)
        for glob in globs:
            name = next((name for name in names if fnmatch.fnmatchcase(name, glob)), None)
            if name is not None:
                return Choice(name)
        raise ArgumentError(
            f"`kernels` wants {wanted!r} for layer {conv.layer!r}, which can run on "
            f"{[TORCH, *(f'{name}-*' for name in families)]}; name one of those"
        )
    return None


@dataclass
class Tuner:
    """Chooses kernels, remembering what it measured while the machine was quiet enough.

    Args:
        batch: images in the calls that are measured.
        threads: of torch's pool.
        optimize: "speed", or "memory", which leaves out kernels that store transformed weights.
        isa: instruction set.
        path: file that choices are kept in, or None.
        retune: measure what is remembered too, and remember the new times.
        bfloat16: whether kernels in bfloat16 take part.
    """

    batch: int
    threads: int
    optimize: str
    isa: str
    path: Path | None
    retune: bool = False
    bfloat16: bool = False
    _choices: dict[str, Any] = field(default_factory=dict)
    _new: dict[str, Any] = field(default_factory=dict)
    _measured: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.path is not None and not self.retune:
            self._choices = read_remembered(self.path)

    def choose(self, conv: Conv, instead: str | None = None) -> Choice:
        """The fastest way to run `conv`, remembered or else measured now.

        Args:
            conv: the layer.
            instead: a kernel to be used rather than measuring, such as that of the layer at another
                size; taken if it can run the layer.
        """
        problem = conv.problem()
        key = self.key(conv, problem)
        entry: Any = self._choices.get(key)
        # Layers of one key may differ in their live weights, and a tile may fit one of them only.
        if (key in self._measured or _is_steady(entry)) and _runs(entry[0], problem, self.isa):
            return Choice(*entry)
        if instead is not None and (similar := _similar(problem, instead, self.isa)) is not None:
            return Choice(similar)
        choice = self._measure(conv, problem)
        self._measured.add(key)
        self._choices[key] = entry = list(astuple(choice))
        if is_steady(choice.spread):
            self._new[key] = entry
        return choice

    def notes(self) -> list[str]:
        """What it was asked for and cannot do here."""
        if self.bfloat16 and not has_pairs(self.isa):
            return [f"{self.isa} here lacks the instructions of bfloat16: none of it is measured"]
        return []

    def keep(self) -> None:
        """Write what was measured to the file."""
        if self.path is not None and self._new:
            remember(self.path, self._new)

    def key(self, conv: Conv, problem: Problem) -> str:
        """What a choice depends on, as a digest."""
        sizes = (conv.shape, conv.size, conv.stride, conv.padding, conv.dilation, conv.groups)
        live = round(conv.density, 2), len(conv.inputs), conv.activation, conv.linear
        # Known for dense layers: computing it costs 15 s for the 25 million weights of a VGG head.
        kind = (True, 0.25) if conv.density == 1 else (problem.whole(), _sharing(problem))
        narrow = self.bfloat16 and has_pairs(self.isa)
        call = self.batch, self.threads, self.optimize, self.isa, narrow
        return hashlib.sha256(repr((_FORMAT, sizes, live, kind, call)).encode()).hexdigest()[:24]

    def _measure(self, conv: Conv, problem: Problem) -> Choice:
        tournament = Tournament(problem, len(conv.inputs) > 1, self.batch, self.threads)
        tournament.add(TORCH, torch_call(conv, tournament))
        # Packing so many weights for each candidate would take minutes, and none of them would win.
        only = (DENSE,) if is_large_and_dense(conv) else None
        families = worth_measuring(problem, self.isa, self.batch, only, self.bfloat16)
        if self.optimize == "memory":
            families = {name: each for name, each in families.items() if "winograd" not in name}
        tournament.add_families(families.values())
        choice = best_choice(tournament.finish(always=(TORCH,)))
        return replace(choice, spread=tournament.spread)


def torch_call(conv: Conv, tournament: Tournament) -> Callable[[], None]:
    """torch's way to run `conv` on the numbers of a tournament."""
    runner = TorchConv(conv)
    tensors = {root(conv.inputs[0]): torch.from_numpy(tournament.input)}
    if tournament.residual is not None:
        tensors[root(conv.inputs[1])] = torch.from_numpy(tournament.residual)
    return lambda: runner.run(tensors, tournament.batch, tournament.threads)


def best_choice(times: Mapping[str, float]) -> Choice:
    """The fastest, by seconds of a call; torch must be clearly faster than the best kernel."""
    winner = min(times, key=lambda name: times[name])
    second = min(
        (name for name in times if name != TORCH), key=lambda name: times[name], default=None
    )
    if winner != TORCH or second is None:
        return Choice(winner, times[winner], times[TORCH])
    # A kernel also saves a call from Python.
    if times[second] < _TORCH_MARGIN * times[TORCH] + _CALL_SECONDS:
        return Choice(second, times[second], times[TORCH])
    return Choice(TORCH, times[TORCH], times[TORCH], without_torch=second)


_TORCH_MARGIN = 1.03
# What calling torch from Python costs beyond the program's next step.
_CALL_SECONDS = 1e-5


def _is_steady(entry: Any) -> bool:
    """Whether a remembered entry is a choice by steady times."""
    if not isinstance(entry, list) or len(entry) != 5 or not isinstance(entry[0], str):
        return False
    if not isinstance(entry[4], str | None):
        return False
    if not all(isinstance(seconds, float) and seconds > 0 for seconds in entry[1:3]):
        return False
    return is_steady(entry[3])


def _runs(name: str, problem: Problem, isa: str) -> bool:
    """Whether there is such a way to run the layer."""
    return name == TORCH or find_candidate(problem, name, isa) is not None


def _similar(problem: Problem, kernel: str, isa: str) -> str | None:
    """`kernel` if it can run the layer, else a tile of its family; None if there is none."""
    if kernel == TORCH:
        return TORCH
    found = similar_candidate(problem, kernel, isa)
    return None if found is None else found.name


def _sharing(problem: Problem) -> float:
    """Inputs that four neighbouring filters read / those they would read if none were shared."""
    out, inside, _ = problem.connections()
    if not out.size:
        return 0.0
    # Counted rather than sorted: np.unique takes twenty times as long.
    read = np.count_nonzero(np.bincount(out // 4 * problem.geometry.in_channels + inside))
    return round(read / out.size, 1)


def choices_path() -> Path:
    """The file that choices for this processor are kept in."""
    return remembered_path("kernels")
