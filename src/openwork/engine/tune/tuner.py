"""Which kernel and tile runs a layer: measured on this machine, remembered, or given."""

import fnmatch
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openwork._files import cache_folder, write_text
from openwork._machine import processor_name
from openwork.engine.graph import Conv
from openwork.engine.tune.tournament import TORCH, Tournament
from openwork.errors import ArgumentError, OpenworkError
from openwork.kernels.dispatch import candidates, candidates_by_family
from openwork.kernels.problem import Geometry, Problem

_FORMAT = 3


@dataclass(frozen=True)
class Choice:
    """What runs a layer.

    Attributes:
        name: of the candidate, or "torch".
        seconds: of one call when it was measured; None if the choice was given.
        torch_seconds: of torch's dense convolution in the same turns; None likewise.
    """

    name: str
    seconds: float | None = None
    torch_seconds: float | None = None


def problem_of(conv: Conv) -> Problem:
    """The kernels' view of a convolution."""
    return Problem(
        Geometry(
            conv.shape[1] * conv.groups,
            conv.shape[0],
            conv.size,
            (conv.shape[2], conv.shape[3]),
            conv.stride,
            conv.padding,
            conv.dilation,
        ),
        conv.groups,
        conv.positions,
        np.ascontiguousarray(conv.weight),
        conv.bias,
        conv.activation,
    )


def given(conv: Conv, kernels: Mapping[str, str | Sequence[str]], isa: str) -> Choice | None:
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
        families = candidates_by_family(problem_of(conv), isa)
        names = [TORCH, *(c.name for family in families.values() for c in family)]
        globs = [wanted] if isinstance(wanted, str) else list(wanted)
        for glob in globs:
            found = next((name for name in names if fnmatch.fnmatchcase(name, glob)), None)
            if found is not None:
                return Choice(found)
        raise ArgumentError(
            f"`kernels` wants {wanted!r} for layer {conv.layer!r}, which can run on "
            f"{[TORCH, *(f'{name}-*' for name in families)]}; name one of those"
        )
    return None


@dataclass
class Tuner:
    """Chooses kernels, remembering what it measured.

    Args:
        batch: images in the calls that are measured.
        threads: of torch's pool.
        optimize: "speed", or "memory", which leaves out kernels that store transformed weights.
        isa: instruction set.
        path: file that choices are kept in, or None.
    """

    batch: int
    threads: int
    optimize: str
    isa: str
    path: Path | None
    _known: dict[str, Any] = field(default_factory=dict)
    _new: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = self._read()

    def choose(self, conv: Conv) -> Choice:
        """The fastest way to run `conv`, measured now or remembered."""
        problem = problem_of(conv)
        key = self.key(conv, problem)
        if _is_choice(self._known.get(key), problem, self.isa):
            return Choice(*self._known[key])
        choice = self._measure(conv, problem)
        entry = [choice.name, choice.seconds, choice.torch_seconds]
        self._known[key] = self._new[key] = entry
        return choice

    def keep(self) -> None:
        """Write what was measured to the file; an unwritable cache is not worth an error."""
        if self.path is None or not self._new:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Read again: another process may have added to it.
            write_text(self.path, json.dumps({**self._read(), **self._new}))
        except (OSError, OpenworkError):
            return

    def key(self, conv: Conv, problem: Problem) -> str:
        """What a choice depends on, as a digest."""
        sizes = (conv.shape, conv.size, conv.stride, conv.padding, conv.dilation, conv.groups)
        live = round(conv.density, 2), len(conv.inputs), conv.activation, conv.linear
        # Of a dense layer it is known: looking takes 15 s for the 25 million weights of a VGG head.
        kind = (True, 0.25) if conv.density == 1 else (problem.whole(), _sharing(problem))
        call = self.batch, self.threads, self.optimize, self.isa
        return hashlib.sha256(repr((_FORMAT, sizes, live, kind, call)).encode()).hexdigest()[:24]

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # A damaged cache costs a new measurement, nothing else.
            return {}
        return found if isinstance(found, dict) else {}

    def _measure(self, conv: Conv, problem: Problem) -> Choice:
        race = Tournament(conv, problem, self.batch, self.threads)
        # Packing so many weights for each candidate would take minutes, and none of them would win.
        hopeless = conv.density > 0.9 and conv.positions.size > _MANY
        families = {} if hopeless else candidates_by_family(problem, self.isa, self.batch)
        if self.optimize == "memory":
            families = {name: each for name, each in families.items() if "winograd" not in name}
        race.enter_families(families.values())
        return Choice(*race.finish())


_MANY = 1 << 22


def _is_choice(entry: Any, problem: Problem, isa: str) -> bool:
    """Whether a remembered entry is one, and names a kernel that still exists."""
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
        return False
    if not all(isinstance(seconds, float) and seconds > 0 for seconds in entry[1:]):
        return False
    return entry[0] == TORCH or any(c.name == entry[0] for c in candidates(problem, isa))


def _sharing(problem: Problem) -> float:
    """How many inputs four neighbouring filters read, of those they would if none was shared."""
    out, inside, _ = problem.connections()
    if not out.size:
        return 0.0
    # Counted rather than sorted: np.unique takes twenty times as long.
    read = np.count_nonzero(np.bincount(out // 4 * problem.geometry.in_channels + inside))
    return round(read / out.size, 1)


def choices_path() -> Path:
    """The file that choices for this processor are kept in."""
    machine = f"{platform.machine()} {processor_name()} {os.cpu_count()}"
    name = hashlib.sha256(machine.encode()).hexdigest()[:16]
    return cache_folder() / f"kernels-{name}.json"
