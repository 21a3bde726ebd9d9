"""For which batch sizes a compiled network's outputs are the original's."""

from dataclasses import replace

from torch import nn

from openwork.engine.compiled import CompiledModel
from openwork.engine.narrow.by_steps import BySteps
from openwork.verify import Inputs, OutputDifference, compare, refusal, with_batch_size


class OtherBatches(Exception):
    """The networks are the same only for the example's batch size; the text says why."""


_ANOTHER_WAY = "a batch of one image takes a different path through the network"


def verify(
    model: nn.Module,
    compiled: CompiledModel,
    inputs: Inputs,
    dynamic: bool,
    tolerance: float,
    steps: BySteps | None = None,
) -> float:
    """Largest difference over the example, over another batch size and over one image.

    If the outputs for one image differ, as where the code drops axes of length one, `compiled`
    refuses single images from then on.

    Args:
        model: the original, run in evaluation mode.
        compiled: the compiled network, which takes and returns the same.
        inputs: the example, tensors `(N, ...)`.
        dynamic: whether `compiled` takes other batch sizes.
        tolerance: largest difference allowed, relative to the largest output.
        steps: compares networks of bytes; None (default) for others.

    Raises:
        VerificationError: the results differ by more, or in their kind or shape.
        OtherBatches: a network captured only for the example's batch size may still agree.
    """
    images = len(inputs[0])
    # torch captures one image as if there were several.
    as_several = images == 1 and dynamic
    try:
        found = _compare(model, compiled, inputs, tolerance, steps)
    except Exception as error:
        if not as_several:
            raise
        raise OtherBatches(_ANOTHER_WAY) from error
    if not found.holds(tolerance):
        if as_several:
            raise OtherBatches(_ANOTHER_WAY)
        raise refusal("the compiled network", found, model, tolerance)
    worst = found.relative
    others = [*range(images + 1, 2 * images + 8), *range(images - 1, 1, -1)]
    other = next((size for size in others if size in compiled.batches), None)
    if other is not None:
        worst = max(worst, _other_batch(model, compiled, inputs, other, tolerance, steps))
    if images > 1 and 1 in compiled.batches:
        worst = max(worst, _one_image(model, compiled, inputs, tolerance, steps))
    return worst


def _other_batch(
    model: nn.Module,
    compiled: CompiledModel,
    inputs: Inputs,
    size: int,
    tolerance: float,
    steps: BySteps | None,
) -> float:
    """Largest difference for a batch of `size` images.

    Raises:
        OtherBatches: the networks differ, or one of them fails.
    """
    try:
        found = _compare(model, compiled, with_batch_size(inputs, size), tolerance, steps)
    except Exception as error:
        # The original may raise anything.
        raise OtherBatches(f"{size} images give {type(error).__name__}: {error}") from error
    if not found.holds(tolerance):
        raise OtherBatches(f"{size} images take a different path through the network")
    return found.relative


def _one_image(
    model: nn.Module,
    compiled: CompiledModel,
    inputs: Inputs,
    tolerance: float,
    steps: BySteps | None,
) -> float:
    """Largest difference for one image; if it is too large, `compiled` refuses single images."""
    try:
        found = _compare(model, compiled, with_batch_size(inputs, 1), tolerance, steps)
    except Exception:
        # Either network may refuse a single image.
        found = None
    if found is not None and found.holds(tolerance):
        return found.relative
    batches = replace(compiled.batches, least=2)
    compiled.limit(batches, f"takes batches of {batches}: {_ANOTHER_WAY}")
    return 0.0


def _compare(
    model: nn.Module,
    compiled: CompiledModel,
    inputs: Inputs,
    tolerance: float,
    steps: BySteps | None,
) -> OutputDifference:
    """The difference.

    Raises:
        Exception: whatever one of the networks raises.
    """
    if steps is not None:
        return steps.compare(model, compiled, inputs, tolerance)
    found = compare(model, compiled, inputs, tolerance)
    if found.error is not None:
        raise found.error
    return found
