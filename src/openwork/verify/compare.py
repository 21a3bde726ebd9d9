"""Proof that two networks compute the same: outputs compared over inputs, sizes and modes."""

# pyright: reportUnknownMemberType=false
# torch.random has no types for its arguments.

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._mode import evaluation
from openwork.capture.capture import several
from openwork.verify.difference import difference, in_double

Inputs = tuple[torch.Tensor, ...]
ANOTHER_SIZE = "another size"
# What sides of images are multiplied by, and what is added to height and width: sums first, then
# multiples for networks that take only those of a patch or a stride.
_RESIZED = ((1, (32, 32)), (1, (-16, 0)), (1, (0, 64)), (0.5, (0, 0)), (2, (0, 0)), (3, (0, 0)))
# Over how many other sizes outputs are compared; each costs a call of both networks.
_SIZES = 3


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
        inputs: of a comparison that does not hold; empty otherwise.
    """

    what: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    double: float | None = None
    inputs: Inputs = field(default=(), repr=False, compare=False)

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
    cases: list[Case] = []
    for what, inputs in _cases(example, others):
        case = _compared(model, small, what, inputs, tolerance)
        if case is None:
            continue
        cases.append(case)
        sizes = sum(case.what == ANOTHER_SIZE for case in cases)
        if not case.holds(tolerance) or sizes == _SIZES:
            break
    return tuple(cases)


def _compared(
    model: nn.Module, small: nn.Module, what: str, inputs: Inputs, tolerance: float
) -> Case | None:
    """One comparison; None where `model` does not take `inputs`."""
    expected = outputs(model, inputs)
    if expected is None:
        return None
    absolute, relative = apart(expected, outputs(small, inputs))
    double = _in_double(model, small, inputs) if relative > tolerance else None
    case = Case(what, tuple(inputs[0].shape), absolute, relative, double)
    return case if case.holds(tolerance) else replace(case, inputs=inputs)


def _cases(example: Inputs, others: Iterable[Inputs]) -> Iterator[tuple[str, Inputs]]:
    draw = torch.Generator().manual_seed(0)
    yield "given", example
    for inputs in others:
        yield "given", inputs
    yield "random", tuple(torch.randn(t.shape, generator=draw, dtype=t.dtype) for t in example)
    yield "another batch size", tuple(torch.cat([t.flip(0), t[:1]]) for t in example)
    for sizes in _other_sizes(example):
        yield (
            ANOTHER_SIZE,
            tuple(
                torch.randn(size, generator=draw, dtype=tensor.dtype)
                for size, tensor in zip(sizes, example, strict=True)
            ),
        )


def _other_sizes(example: Inputs) -> Iterator[list[tuple[int, ...]]]:
    """Shapes like those of `example`, the images among them of other sizes."""
    images = [index for index, tensor in enumerate(example) if tensor.dim() == 4]
    for times, more in _RESIZED if images else ():
        # Multiples of large images are for two at a time.
        most = len(example[0]) if times == 1 else 2
        sizes = [(min(most, len(tensor)), *tensor.shape[1:]) for tensor in example]
        for index in images:
            batch, channels, height, width = sizes[index]
            sides = int(height * times) + more[0], int(width * times) + more[1]
            sizes[index] = (batch, channels, *sides)
        if all(min(sizes[index]) > 0 for index in images):
            yield sizes


@torch.no_grad()
def outputs(model: nn.Module, inputs: Inputs) -> list[Any] | None:
    """The results, one after another; None where the model does not take the inputs."""
    try:
        with evaluation(model):
            return _pytree.tree_leaves(model(*(tensor.clone() for tensor in inputs)))
    except Exception:
        # A network says in its own way that it does not take these.
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
        (in_double(a) - in_double(b)).abs().nan_to_num().max().item() for a, b in pairs if a.numel()
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
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return _pytree.tree_leaves(replica(*several(example)))
    except Exception:
        return None
