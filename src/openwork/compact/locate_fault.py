"""Which channels a rewritten network fails over: those of the code that takes counts for fixed."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork.capture.capture import several
from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis
from openwork.flow.op import Movement, Op
from openwork.flow.weighted_sum import WeightedSum
from openwork.verify import difference


class _Differs(Exception):
    pass


class Blame:
    """Runs of the original, beside which those of rewritten networks are held.

    Args:
        model: the original, on the CPU.
        analysis: of it.
        inputs: of one call.
        train: whether to run in training mode; then only errors count, not numbers.
    """

    def __init__(
        self, model: nn.Module, analysis: Analysis, inputs: Sequence[torch.Tensor], train: bool
    ) -> None:
        self._analysis, self._inputs, self._train = analysis, inputs, train
        self._weighted_sums = _called_once(analysis)
        self._expected: dict[str, torch.Tensor] = {}
        self._feeds: dict[str, list[str]] = {}
        # In training mode batch normalisation notes down what it sees.
        self._record(copy.deepcopy(model) if train else model)

    def atoms(self, small: nn.Module, selection: Selection) -> np.ndarray:
        """Atoms that should rather stay, at least one of them gone now."""
        place = self._place(small, selection)
        gone = selection.gone
        for ops in self._suspects(place):
            layouts = [layout for op in ops for layout in (*op.inputs, *op.outputs)]
            found = [layout.ids.reshape(-1) for layout in layouts]
            atoms = np.unique(np.concatenate([*found, np.empty(0, int)]))
            if gone[atoms].any():
                return atoms
        return np.arange(len(gone))

    def _place(self, small: nn.Module, selection: Selection) -> str:
        """The module in which `small` goes wrong first."""
        names = {module: name for name, module in small.named_modules()}
        stack: list[str] = []

        def enter(module: nn.Module, _: Any) -> None:
            stack.append(names[module])

        def leave(module: nn.Module, _: Any, output: Any) -> None:
            name = names[module]
            if not self._train and self._is_wrong(name, output, selection):
                raise _Differs
            stack.pop()

        handles = [m.register_forward_pre_hook(enter) for m in names]
        handles += [m.register_forward_hook(leave) for m in names]
        try:
            _run(small, self._inputs, self._train)
        except Exception:
            # Whatever kind it is: it tells where.
            return stack[-1] if stack else ""
        finally:
            for handle in handles:
                handle.remove()
        return ""

    def _is_wrong(self, name: str, output: Any, selection: Selection) -> bool:
        if name not in self._expected or not isinstance(output, torch.Tensor):
            return False
        op, gone, live = self._weighted_sums[name], selection.gone, self._analysis.live
        stays = op.out[~gone[op.out]]
        axis = op.placement.axis
        if output.dim() <= axis or output.shape[axis] != len(stays):
            return True
        # What nothing depends on may be anything.
        matters = torch.from_numpy(
            np.flatnonzero(live[stays] & ~self._analysis.atoms.is_constant(stays))
        )
        before = torch.from_numpy(np.flatnonzero(np.isin(op.out, stays[matters.numpy()])))
        expected = self._expected[name].index_select(axis, before)
        return difference(expected, output.index_select(axis, matters)) > 1e-3

    def _suspects(self, place: str) -> list[list[Op]]:
        """Ever more ops around the module `place`."""
        own = self._weighted_sums.get(place)
        rounds: list[list[Op]] = [] if own is None else [[own]]
        while True:
            within = self._within(place)
            if not within:
                # It runs in training mode only, and reads what other modules give.
                made = [self._within(name)[-1:] for name in self._feeds.get(place, [])]
                rounds.append([op for ops in made for op in ops])
            rounds += [[op for op in within if isinstance(op, Movement)], within]
            if not place:
                return rounds
            place = place.rpartition(".")[0]

    def _within(self, name: str) -> list[Op]:
        prefix = f"{name}." if name else ""
        return [s for s in self._analysis.ops if f"{module_of(s)}.".startswith(prefix)]

    def _record(self, model: nn.Module) -> None:
        """What each layer gives, and which modules made what each module is given."""
        names = {module: name for name, module in model.named_modules()}
        made: dict[int, str] = {}
        held: list[torch.Tensor] = []

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            name = names[module]
            given = [t for t in inputs if isinstance(t, torch.Tensor)]
            self._feeds[name] = [made[id(tensor)] for tensor in given if id(tensor) in made]
            if isinstance(output, torch.Tensor):
                held.append(output)
                made[id(output)] = name
                if name in self._weighted_sums:
                    self._expected[name] = output.clone()

        handles = [module.register_forward_hook(hook) for module in names]
        try:
            _run(model, self._inputs, self._train)
        finally:
            for handle in handles:
                handle.remove()


@torch.no_grad()
def _run(model: nn.Module, inputs: Sequence[torch.Tensor], train: bool) -> None:
    model.train(train)
    with torch.random.fork_rng():
        # A batch of one has no variance to train with.
        model(*(several(inputs) if train else [tensor.clone() for tensor in inputs]))
    model.eval()


def module_of(op: Op) -> str:
    """The qualified name of the module whose own code `op` is in."""
    stack = op.node.meta.get("nn_module_stack") or {}
    entries = [path for path, _ in stack.values() if isinstance(path, str)]
    return entries[-1] if entries else ""


def _called_once(analysis: Analysis) -> dict[str, WeightedSum]:
    weighted_sums: dict[str, WeightedSum] = {}
    several = set()
    for op in analysis.weighted_sums:
        name = op.weight.name.rpartition(".")[0]
        if name in weighted_sums:
            several.add(name)
        weighted_sums[name] = op
    return {name: op for name, op in weighted_sums.items() if name not in several}
