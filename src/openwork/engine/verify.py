"""The compiled network's outputs beside the original's."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.utils import _pytree

from openwork._mode import evaluation
from openwork.engine.compiled import CompiledModel
from openwork.errors import VerificationError
from openwork.verify import difference, rounding


class OtherBatches(Exception):
    """The networks are the same for the example's batch size only; the text says why."""


_ANOTHER_WAY = "batch size 1 takes a different code path"


@torch.no_grad()
def verify(
    model: nn.Module,
    compiled: CompiledModel,
    inputs: Sequence[torch.Tensor],
    dynamic: bool,
    tolerance: float,
) -> float:
    """Largest difference over the example, over another batch size and over one image.

    Where one image gives something else, for instance because an axis of length one is dropped,
    `compiled` is limited to two or more.

    Args:
        model: the original, run in evaluation mode.
        compiled: takes and returns the same.
        inputs: the example; all of one batch size.
        dynamic: whether `compiled` takes other batch sizes.
        tolerance: largest difference allowed, relative to the largest output.

    Raises:
        VerificationError: the results differ by more, or in their kind or shape.
        OtherBatches: a network captured for the example's batch size alone may be the same.
    """
    images = len(inputs[0])
    # torch captures one image as if there were several.
    as_several = images == 1 and dynamic
    try:
        worst = _apart(model, compiled, inputs)
    except Exception as error:
        if not as_several:
            raise
        raise OtherBatches(_ANOTHER_WAY) from error
    if worst > tolerance:
        if as_several:
            raise OtherBatches(_ANOTHER_WAY)
        raise VerificationError(_message(model, inputs, worst, tolerance))
    others = [*range(images + 1, 2 * images + 8), *range(images - 1, 1, -1)]
    other = next((size for size in others if size in compiled.batches), None)
    if other is not None:
        try:
            apart = _apart(model, compiled, _batch(inputs, other))
        except Exception as error:
            # The original may raise anything.
            raise OtherBatches(f"{other} images give {type(error).__name__}: {error}") from error
        if apart > tolerance:
            raise OtherBatches(f"batch size {other} takes a different code path")
        worst = max(worst, apart)
    if images > 1 and 1 in compiled.batches:
        worst = max(worst, _one_image(model, compiled, inputs, tolerance))
    return worst


def _one_image(
    model: nn.Module, compiled: CompiledModel, inputs: Sequence[torch.Tensor], tolerance: float
) -> float:
    """Largest difference for one image; if it is too large, one image is no longer allowed."""
    try:
        apart = _apart(model, compiled, _batch(inputs, 1))
    except Exception:
        # The original, or what was captured, may refuse one image.
        apart = float("inf")
    if apart <= tolerance:
        return apart
    batches = replace(compiled.batches, least=2)
    compiled.limit(batches, f"takes batches of {batches}: {_ANOTHER_WAY}")
    return 0.0


def _batch(inputs: Sequence[torch.Tensor], size: int) -> list[torch.Tensor]:
    """A batch of another size, of images of the example."""
    turns = torch.arange(size) % len(inputs[0])
    return [tensor.flip(0)[turns] for tensor in inputs]


def _apart(model: nn.Module, compiled: CompiledModel, inputs: Sequence[torch.Tensor]) -> float:
    with evaluation(model):
        # Copies, for networks that write to their input.
        expected = _pytree.tree_leaves(model(*(tensor.clone() for tensor in inputs)))
    results = _pytree.tree_leaves(compiled(*inputs))
    if len(results) != len(expected):
        return float("inf")
    return max((difference(a, b) for a, b in zip(expected, results, strict=True)), default=0.0)


def _message(
    model: nn.Module, inputs: Sequence[torch.Tensor], worst: float, tolerance: float
) -> str:
    if worst == float("inf"):
        return (
            "the compiled network's results are of another shape or dtype than the original's, or "
            "have infinities or NaNs in other places; the original is unchanged"
        )
    return (
        f"the compiled network differs from the original by {worst:.2e} of its largest output, "
        f"more than `tolerance`={tolerance}; {_rounding(model, inputs, tolerance)}the original is "
        "unchanged"
    )


def _rounding(model: nn.Module, inputs: Sequence[torch.Tensor], tolerance: float) -> str:
    """What float32 alone explains, if that is much: random networks can amplify rounding."""
    own = rounding(model, inputs)
    if own < tolerance / 10:
        return ""
    return (
        f"in float32 the original's own outputs are off by {own:.2e}, so a larger `tolerance` may "
        "be right; "
    )
