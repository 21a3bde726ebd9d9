"""Over which inputs two networks are compared: given ones, other batches, other image sizes."""

from collections.abc import Iterable, Iterator, Sequence

import torch

from openwork.verify.outputs import Inputs

ANOTHER_SIZE = "another size"
# What sides of images are multiplied by, and what is added to height and width: sums first, then
# multiples, for networks that only take multiples of a patch or a stride.
_RESIZED = ((1, (32, 32)), (1, (-16, 0)), (1, (0, 64)), (0.5, (0, 0)), (2, (0, 0)), (3, (0, 0)))


def with_batch_size(example: Sequence[torch.Tensor], size: int) -> Inputs:
    """Batches of `size` images, made of those of `example` in reverse order.

    Args:
        example: tensors `(N, ...)`.
        size: how many images each result holds, `(size, ...)`; images repeat beyond N.
    """
    turns = torch.arange(size) % len(example[0])
    return tuple(tensor.flip(0)[turns] for tensor in example)


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
    yield "random", tuple(torch.randn(t.shape, generator=draw, dtype=t.dtype) for t in example)
    yield "another batch size", with_batch_size(example, len(example[0]) + 1)
    for sizes in _other_sizes(example):
        yield (
            ANOTHER_SIZE,
            tuple(
                torch.randn(size, generator=draw, dtype=tensor.dtype)
                for size, tensor in zip(sizes, example, strict=True)
            ),
        )


def _other_sizes(example: Inputs) -> Iterator[list[tuple[int, ...]]]:
    """Shapes like those of `example`, with other heights and widths of its images."""
    images = [index for index, tensor in enumerate(example) if tensor.dim() == 4]
    for times, more in _RESIZED if images else ():
        # Multiples of large images take much memory, so at most two at a time.
        most = len(example[0]) if times == 1 else 2
        sizes = [(min(most, len(tensor)), *tensor.shape[1:]) for tensor in example]
        for index in images:
            batch, channels, height, width = sizes[index]
            sides = int(height * times) + more[0], int(width * times) + more[1]
            sizes[index] = (batch, channels, *sides)
        if all(min(sizes[index]) > 0 for index in images):
            yield sizes
