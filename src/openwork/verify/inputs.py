"""Over which inputs two networks are compared: given ones, other batches, other image sizes."""

from collections.abc import Iterable, Iterator, Sequence

import torch

from openwork._call import Call, as_call
from openwork.verify.outputs import Inputs

ANOTHER_SIZE = "another size"
# What sides of images are multiplied by, and what is added to height and width: sums first, then
# multiples, for networks that only take multiples of a patch or a stride.
_RESIZED = ((1, (32, 32)), (1, (-16, 0)), (1, (0, 64)), (0.5, (0, 0)), (2, (0, 0)), (3, (0, 0)))


def with_batch_size(example: Inputs | Sequence[torch.Tensor], size: int) -> Call:
    """Batches of `size` images, made of those of `example` in reverse order.

    Args:
        example: tensors `(N, ...)`.
        size: how many images each result holds, `(size, ...)`; images repeat beyond N.
    """
    call = as_call(example)
    turns = torch.arange(size) % call.images
    return call.map(lambda tensor: tensor.flip(0)[turns])


def varied_inputs(example: Inputs, others: Iterable[Inputs]) -> Iterator[tuple[str, Inputs]]:
    """Inputs of calls, each with what they are in words; sizes that a network may not take last.

    Args:
        example: tensors `(N, ...)`; those with four axes are images `(N, C, H, W)`.
        others: more inputs, to be tried right after `example`.
    """
    draw = torch.Generator().manual_seed(0)
    yield "given", example
    for inputs in others:
        yield "given", inputs
    call = as_call(example)
    yield "random", call.map(lambda tensor: _drawn(tensor, tensor.shape, draw))
    yield "another batch size", with_batch_size(call, call.images + 1)
    for sizes in _other_sizes(call):
        pairs = zip(call, sizes, strict=True)
        yield ANOTHER_SIZE, call.with_tensors([_drawn(t, size, draw) for t, size in pairs])


def _drawn(like: torch.Tensor, size: Sequence[int], draw: torch.Generator) -> torch.Tensor:
    """Random numbers of the dtype of `like`; of other than floats those that `like` holds."""
    if like.is_floating_point() or like.is_complex():
        return torch.randn(size, generator=draw, dtype=like.dtype)
    # Whole numbers may be indices, which have a range.
    return like.flatten()[torch.randint(like.numel(), tuple(size), generator=draw)]


def _other_sizes(example: Call) -> Iterator[list[tuple[int, ...]]]:
    """Shapes like those of `example`, with other heights and widths of its images."""
    images = [index for index, tensor in enumerate(example) if tensor.dim() == 4]
    for times, more in _RESIZED if images else ():
        # Multiples of large images take much memory, so at most two at a time.
        most = example.images if times == 1 else 2
        sizes = [(min(most, len(tensor)), *tensor.shape[1:]) for tensor in example]
        for index in images:
            batch, channels, height, width = sizes[index]
            sides = int(height * times) + more[0], int(width * times) + more[1]
            sizes[index] = (batch, channels, *sides)
        if all(min(sizes[index]) > 0 for index in images):
            yield sizes
