"""What the gradient operators share: one kernel or the reference for each direction."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from openwork.kernels.training.candidates import Direction
from openwork.ops.native import NativeLayer


def compute_gradients(
    layer: NativeLayer,
    batch: int,
    reference: Callable[[Sequence[bool], slice], tuple[torch.Tensor | None, ...]],
    input_gradient: Callable[[Any, slice], torch.Tensor],
    weight_gradient: Callable[[Any, slice], torch.Tensor],
    wanted: Sequence[bool],
    like: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of input, live weights and bias; empty tensors for those that are not `wanted`.

    Args:
        layer: the layer's kernels.
        batch: images in the call.
        reference: called with three answers to whether a gradient is wanted, and the images.
        input_gradient, weight_gradient: called with a packed kernel and the images.
        wanted: which of the three.
        like: a tensor whose dtype and device the results have.
    """
    threads = torch.get_num_threads()
    kernels: list[Any] = [None, None]
    few = slice(layer.measured_images)
    ways: tuple[tuple[Direction, Callable[[Any, slice], torch.Tensor]], ...] = (
        ("input", input_gradient),
        ("weight", weight_gradient),
    )
    for at, (direction, fast) in enumerate(ways):
        if wanted[at]:
            only = [at == 0, at == 1, False]
            layer.decide(
                direction,
                batch,
                threads,
                partial(reference, only, few),
                lambda kernel, fast=fast: fast(kernel, few),
            )
            kernels[at] = layer.chosen(direction, batch, threads)
    # All that the reference has to compute, in one call.
    left = [want and kernel is None for want, kernel in zip(wanted, [*kernels, None], strict=True)]
    found: list[torch.Tensor | None] = [None, None, None]
    if any(left):
        found = list(reference(left, slice(None)))
    for at, (_, fast) in enumerate(ways):
        if kernels[at] is not None:
            found[at] = fast(kernels[at], slice(None))
    return present(found, like)


def present(
    found: Sequence[torch.Tensor | None], like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Empty tensors for what was not computed: operators return tensors only."""
    first, second, third = (like.new_empty(0) if each is None else each for each in found)
    return first, second, third
