"""`compare`: whether a rewritten network gives the original's outputs.

The rule, for every rewrite: a float32 difference of at most the tolerance holds; a larger one
holds if both networks run in float64 and agree there within the same tolerance. Where one of them
does not run in float64, as no compiled network does, the float32 difference stands. So does an
infinite one: float32 is what the networks compute in, and there one gives NaN, infinity or another
shape where the other gives numbers.
"""

# pyright: reportUnknownMemberType=false
# torch.random has no types for its arguments.

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from openwork._call import Call, as_call
from openwork._copy import copied
from openwork.verify.difference import largest_difference
from openwork.verify.inputs import ANOTHER_SIZE, varied_inputs
from openwork.verify.outputs import Inputs, in_float64, outputs

# Over how many other sizes outputs are compared; each costs a call of both networks.
_SIZES = 3


@dataclass(frozen=True)
class OutputDifference:
    """How far the outputs of two networks are apart over one call's inputs.

    Attributes:
        what: the inputs, in words.
        shape: of the first input.
        absolute: largest difference of any output number.
        relative: the same, relative to the largest number of its output; infinite where results
            differ in number, kind, shape, dtype, or in the places of NaN and infinity.
        in_float64: `relative` with both networks in float64; None where it was not needed or
            could not decide, or where one of them does not run in float64.
        inputs: tensors `(N, ...)`, if the difference does not hold; empty otherwise.
        error: what the rewritten network raised; None if it ran.
    """

    what: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    in_float64: float | None = None
    inputs: Inputs = field(default=(), repr=False, compare=False)
    error: Exception | None = field(default=None, repr=False, compare=False)

    def holds(self, tolerance: float) -> bool:
        """Whether the outputs are equal up to `tolerance`, in float32 or else in float64."""
        return self.relative <= tolerance or (
            self.in_float64 is not None and self.in_float64 <= tolerance
        )


def compare(
    original: nn.Module,
    rewritten: nn.Module,
    inputs: Call | Sequence[torch.Tensor],
    tolerance: float,
    what: str = "given",
) -> OutputDifference:
    """How far the outputs of two networks in evaluation mode are apart.

    Args:
        original, rewritten: on the CPU; both take `inputs`, and neither is changed.
        inputs: of one call; its tensors are `(N, ...)`.
        tolerance: where the relative difference exceeds it, float64 decides.
        what: the inputs, in words.

    Raises:
        Exception: whatever `original` raises on these inputs. What `rewritten` raises is the
            result's `error`, and makes the difference infinite.
    """
    expected = outputs(original, inputs)
    return _compare(expected, original, rewritten, as_call(inputs), tolerance, what)


def compare_many(
    original: nn.Module,
    rewritten: nn.Module,
    example: Inputs,
    others: Iterable[Inputs],
    tolerance: float,
) -> tuple[OutputDifference, ...]:
    """Compare over given and random inputs, another batch size and other image sizes.

    Inputs that `original` does not take are left out, and the first difference that does not hold
    is the last.

    Args:
        original, rewritten: on the CPU; neither is changed.
        example: tensors `(N, ...)` of one call; those with four axes are images `(N, C, H, W)`.
        others: the inputs of more calls.
        tolerance: where a relative difference exceeds it, float64 decides.
    """
    found: list[OutputDifference] = []
    for what, inputs in varied_inputs(example, others):
        try:
            expected = outputs(original, inputs)
        except Exception:
            # Any kind: it is the network's own code that refuses such inputs.
            continue
        found.append(_compare(expected, original, rewritten, inputs, tolerance, what))
        sizes = sum(one.what == ANOTHER_SIZE for one in found)
        if not found[-1].holds(tolerance) or sizes == _SIZES:
            break
    return tuple(found)


def _compare(
    expected: list[Any],
    original: nn.Module,
    rewritten: nn.Module,
    inputs: Inputs,
    tolerance: float,
    what: str,
) -> OutputDifference:
    shape = tuple(inputs[0].shape)
    try:
        found = outputs(rewritten, inputs)
    except Exception as error:
        infinite = float("inf")
        return OutputDifference(what, shape, infinite, infinite, None, inputs, error)
    absolute, relative = largest_difference(expected, found)
    doubtful = tolerance < relative < float("inf")
    exact = _in_float64(original, rewritten, inputs) if doubtful else None
    result = OutputDifference(what, shape, absolute, relative, exact)
    return result if result.holds(tolerance) else replace(result, inputs=inputs)


def _in_float64(original: nn.Module, rewritten: nn.Module, inputs: Inputs) -> float | None:
    """The relative difference in float64; None where one of the networks does not run in it."""
    exact = in_float64(inputs)
    try:
        # The rewritten network first: a compiled one refuses float64 before the original is copied.
        found = outputs(copied(rewritten).double(), exact)
        expected = outputs(copied(original).double(), exact)
    except Exception:
        return None
    return largest_difference(expected, found)[1]
