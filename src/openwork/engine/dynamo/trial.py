"""What a graph does besides computing its outputs, found by running a copy of it once."""

from collections.abc import Callable, Iterable, Sequence

import torch

from openwork._copy import copied
from openwork.engine.dynamo.bound import Bound, Refused

Restore = Callable[[torch.Tensor], torch.Tensor]


def trial(bound: Bound, inputs: Sequence[torch.Tensor]) -> list[Restore]:
    """Run a copy of `bound`, and give what lays out each output in memory as it does.

    Args:
        bound: it is not changed.
        inputs: `(batch, ...)` each.

    Raises:
        Refused: it writes to its inputs or buffers, or outputs share memory with something.
    """
    twin, copies = copied(bound), [tensor.detach().clone() for tensor in inputs]
    held = [*copies, *twin.parameters(), *twin.buffers()]
    versions = [tensor._version for tensor in held]
    outputs = twin(*copies)
    if versions != [tensor._version for tensor in held]:
        raise Refused("it writes to its inputs or buffers, as batch norms do in training mode")
    memories = [*_memories(outputs), *set(_memories(held))]
    if len(memories) != len(set(memories)):
        raise Refused("an output shares memory with an input, a weight or another output")
    return [_restore(output) for output in outputs]


def _memories(tensors: Iterable[torch.Tensor]) -> list[int]:
    memories = (tensor.untyped_storage().data_ptr() for tensor in tensors)
    # Tensors without a number in them have none.
    return [memory for memory in memories if memory]


def _restore(wanted: torch.Tensor) -> Restore:
    if wanted.is_contiguous():
        return lambda tensor: tensor
    order = sorted(range(wanted.dim()), key=lambda axis: -wanted.stride(axis))
    back = [order.index(axis) for axis in range(wanted.dim())]
    return lambda tensor: tensor.permute(order).contiguous().permute(back)
