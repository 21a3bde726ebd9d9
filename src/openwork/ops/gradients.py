"""What the gradient operators share: one kernel or the reference for each direction."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from openwork.kernels.training import Direction
from openwork.ops.choices import Call
from openwork.ops.native import NativeLayer


def compute_gradients(
    layer: NativeLayer,
    batch: int,
    reference: Callable[..., tuple[torch.Tensor | None, ...]],
    input_gradient: Callable[[Any], torch.Tensor],
    weight_gradient: Callable[[Any], torch.Tensor],
    wanted: Sequence[bool],
    like: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of input, live weights and bias; empty tensors for those that are not `wanted`.

    Args:
        layer: the layer's kernels.
        batch: images in the call.
        reference: computes those that its three arguments ask for.
        input_gradient, weight_gradient: compute one with the packed kernel that they are given.
        wanted: which of the three.
        like: a tensor whose dtype and device the results have.
    """
    threads = torch.get_num_threads()
    kernels: list[Any] = [None, None]
    ways: tuple[tuple[Direction, Call, Callable[[Any], torch.Tensor]], ...] = (
        ("input", lambda: reference(True, False, False)[0], input_gradient),
        ("weight", lambda: reference(False, True, False)[1], weight_gradient),
    )
    for at, (direction, plain, fast) in enumerate(ways):
        if wanted[at]:
            layer.decide(direction, batch, threads, plain, fast)
            kernels[at] = layer.chosen(direction, batch, threads)
    # All that the reference has to compute, in one call.
    left = [want and kernel is None for want, kernel in zip(wanted, [*kernels, None], strict=True)]
    found: list[torch.Tensor | None] = [None, None, None]
    if any(left):
        found = list(reference(*left))
    for at, (_, _, fast) in enumerate(ways):
        if kernels[at] is not None:
            found[at] = fast(kernels[at])
    return present(found, like)


def present(
    found: Sequence[torch.Tensor | None], like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Empty tensors for what was not computed: operators return tensors only."""
    first, second, third = (like.new_empty(0) if each is None else each for each in found)
    return first, second, third
