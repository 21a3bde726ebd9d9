"""Proof that two networks compute the same: outputs compared over inputs, sizes and modes."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork.capture import difference
from openwork.nn._mode import evaluation

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        what: the inputs, in words.
        shape: of the first input.
        absolute: largest difference of any output number.
        relative: the same, relative to the largest number of its output.
        double: `relative` with both networks in float64, which tells a wrong rewrite from
            rounding; None where it was not needed.
    """

    what: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    double: float | None = None

    def holds(self, tolerance: float) -> bool:
        """Whether the outputs are equal up to `tolerance`, rounding left out of account."""
        return min(self.relative, float("inf") if self.double is None else self.double) <= tolerance


def compare(
    model: nn.Module, small: nn.Module, example: Inputs, others: Iterable[Inputs], tolerance: float
) -> tuple[Case, ...]:
    """Compare outputs in evaluation mode, up to the first case that does not hold.

    Sizes that `model` does not take are left out.

    Args:
        model, small: on the CPU.
        example: inputs of one call.
        others: more of them.
        tolerance: where it is exceeded, float64 decides.
    """
    cases = []
    for what, inputs in _cases(example, others):
        expected = outputs(model, inputs)
        if expected is None:
            continue
        found = outputs(small, inputs)
        absolute, relative = apart(expected, found)
        double = None
        if relative > tolerance:
            double = _in_double(model, small, inputs)
        cases.append(Case(what, tuple(inputs[0].shape), absolute, relative, double))
        if not cases[-1].holds(tolerance):
            break
    return tuple(cases)


def _cases(example: Inputs, others: Iterable[Inputs]) -> Iterator[tuple[str, Inputs]]:
    draw = torch.Generator().manual_seed(0)
    yield "given", example
    for inputs in others:
        yield "given", inputs
    yield "random", tuple(torch.randn(t.shape, generator=draw, dtype=t.dtype) for t in example)
    yield "another batch size", tuple(torch.cat([t.flip(0), t[:1]]) for t in example)
    if all(tensor.dim() == 4 for tensor in example):
        for more in ((32, 32), (-16, 0), (0, 64)):
            sizes = [(*t.shape[:2], t.shape[2] + more[0], t.shape[3] + more[1]) for t in example]
            if all(min(size) > 0 for size in sizes):
                yield (
                    "another size",
                    tuple(
                        torch.randn(size, generator=draw, dtype=example[0].dtype) for size in sizes
                    ),
                )


@torch.no_grad()
def outputs(model: nn.Module, inputs: Inputs) -> list[Any] | None:
    """The results, one after another; None where the model does not take the inputs."""
    try:
        with evaluation(model):
            return _pytree.tree_leaves(model(*(tensor.clone() for tensor in inputs)))
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError):
        return None


def apart(expected: Sequence[Any], found: Sequence[Any] | None) -> tuple[float, float]:
    """The largest difference, absolute and relative; infinite where kinds or shapes differ."""
    if found is None or len(found) != len(expected):
        return float("inf"), float("inf")
    relative = max([0.0, *map(difference, expected, found)])
    if relative == float("inf"):
        return relative, relative
    pairs = [(a, b) for a, b in zip(expected, found, strict=True) if isinstance(a, torch.Tensor)]
    absolute = [
        (a.double() - b.double()).abs().nan_to_num().max().item() for a, b in pairs if len(a)
    ]
    return max([0.0, *absolute]), relative


def _in_double(model: nn.Module, small: nn.Module, inputs: Inputs) -> float | None:
    one, two = copy.deepcopy(model).double(), copy.deepcopy(small).double()
    expected = outputs(one, tuple(tensor.double() for tensor in inputs))
    found = outputs(two, tuple(tensor.double() for tensor in inputs))
    return None if expected is None or found is None else apart(expected, found)[1]


def trained(model: nn.Module, small: nn.Module, example: Inputs) -> str:
    """How a forward pass in training mode went, in words; empty if only `model` can do it."""
    expected, found = (_in_training(network, example) for network in (model, small))
    if expected is None:
        return "the original does not run in training mode on these inputs"
    if found is None or len(found) != len(expected):
        return ""
    if [getattr(a, "shape", None) for a in expected] != [getattr(b, "shape", None) for b in found]:
        return ""
    return (
        f"outputs in training mode differ by {apart(expected, found)[1]:.1e}, randomness included"
    )


def _in_training(model: nn.Module, example: Inputs) -> list[Any] | None:
    replica = copy.deepcopy(model).train()
    several = tuple(t.clone() if len(t) > 1 else torch.cat([t, t]) for t in example)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return _pytree.tree_leaves(replica(*several))
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError):
        return None
