"""`locate_fault`: which channels made a rewritten network fail.

The usual cause is code that hard-codes a number of channels: the fault is in the module where
outputs first differ, or where an error is raised.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._call import as_call
from openwork._unchanged import unchanged
from openwork.capture.capture import several
from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis
from openwork.flow.op import Movement, Op
from openwork.flow.weighted_sum import WeightedSum
from openwork.verify import Inputs, difference


def locate_fault(
    model: nn.Module,
    small: nn.Module,
    analysis: Analysis,
    selection: Selection,
    inputs: Inputs,
    train: bool,
) -> np.ndarray:
    """(k,) int, atoms to keep in the next attempt; at least one of them is removed in `small`.

    Args:
        model: the original, on the CPU.
        small: the network that fails.
        analysis: of the original.
        selection: what was removed from it to make `small`.
        inputs: tensors `(N, ...)` of one call, over which `small` fails.
        train: whether to run in training mode, where only errors count: numbers are random.
    """
    return _FaultLocator(model, analysis, inputs, train).suspects(small, selection)


class _Differs(Exception):
    pass


class _FaultLocator:
    """Outputs of the original's layers, with which those of a failing network are compared.

    Args:
        model, analysis, inputs, train: as for `locate_fault`.
    """

    def __init__(self, model: nn.Module, analysis: Analysis, inputs: Inputs, train: bool) -> None:
        self._analysis, self._inputs, self._train = analysis, inputs, train
        self._weighted_sums = _called_once(analysis)
        self._expected: dict[str, torch.Tensor] = {}
        self._feeds: dict[str, list[str]] = {}
        with unchanged(model):
            self._record(model)

    def suspects(self, small: nn.Module, selection: Selection) -> np.ndarray:
        """(k,) int, the atoms around the failing module, at least one of them removed."""
        place = self._failing_module(small, selection)
        gone = selection.gone
        for ops in self._rounds(place):
            layouts = [layout for op in ops for layout in (*op.inputs, *op.outputs)]
            found = [layout.ids.reshape(-1) for layout in layouts]
            atoms = np.unique(np.concatenate([*found, np.empty(0, int)]))
            if gone[atoms].any():
                return atoms
        return np.arange(len(gone))

    def _failing_module(self, small: nn.Module, selection: Selection) -> str:
        """The qualified name of the module in which `small` first goes wrong; empty if unknown."""
        # Hooks are put back too.
        with unchanged(small):
            return self._first_failure(small, selection)

    def _first_failure(self, small: nn.Module, selection: Selection) -> str:
        names = {module: name for name, module in small.named_modules()}
        stack: list[str] = []

        def enter(module: nn.Module, _: Any) -> None:
            stack.append(names[module])

        def leave(module: nn.Module, _: Any, output: Any) -> None:
            name = names[module]
            if not self._train and self._is_wrong(name, output, selection):
                raise _Differs
            stack.pop()

        for module in names:
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        try:
            _run(small, self._inputs, self._train)
        except Exception:
            # Errors of any kind show the place.
            return stack[-1] if stack else ""
        return ""

    def _is_wrong(self, name: str, output: Any, selection: Selection) -> bool:
        if name not in self._expected or not isinstance(output, torch.Tensor):
            return False
        op, gone, live = self._weighted_sums[name], selection.gone, self._analysis.live
        kept = op.out[~gone[op.out]]
        axis = op.placement.axis
        if output.dim() <= axis or output.shape[axis] != len(kept):
            return True
        # Numbers that no output depends on may differ.
        constant = self._analysis.atoms.is_constant(kept)
        matters = torch.from_numpy(np.flatnonzero(live[kept] & ~constant))
        before = torch.from_numpy(np.flatnonzero(np.isin(op.out, kept[matters.numpy()])))
        expected = self._expected[name].index_select(axis, before)
        return difference(expected, output.index_select(axis, matters)) > 1e-3

    def _rounds(self, place: str) -> list[list[Op]]:
        """Ops around the module `place`, in wider and wider circles."""
        own = self._weighted_sums.get(place)
        rounds: list[list[Op]] = [] if own is None else [[own]]
        while True:
            within = self._within(place)
            if not within:
                # It runs only in training mode, and reads outputs of other modules.
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
        """Store each layer's output, and which modules made each module's inputs."""
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

        for module in names:
            module.register_forward_hook(hook)
        _run(model, self._inputs, self._train)


@torch.no_grad()
def _run(model: nn.Module, inputs: Inputs, train: bool) -> None:
    # Batch norms cannot train on a single image.
    call = several(inputs) if train else as_call(inputs).map(torch.clone)
    call.run(model.train(train))


def module_of(op: Op) -> str:
    """The qualified name of the innermost module whose code contains `op`."""
    stack = op.node.meta.get("nn_module_stack") or {}
    entries = [path for path, _ in stack.values() if isinstance(path, str)]
    return entries[-1] if entries else ""


def _called_once(analysis: Analysis) -> dict[str, WeightedSum]:
    """The layers that run once in a call, by qualified name."""
    weighted_sums: dict[str, WeightedSum] = {}
    repeated = set()
    for op in analysis.weighted_sums:
        name = op.weight.name.rpartition(".")[0]
        if name in weighted_sums:
            repeated.add(name)
        weighted_sums[name] = op
    return {name: op for name, op in weighted_sums.items() if name not in repeated}
