"""What torch assumed about the batch size, as bounds and conditions."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from openwork.capture import BatchSizes
from openwork.capture.batch_sizes import batch_sizes_of


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, body: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self._body = body

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._body(*inputs)


def _found(body: Callable[..., torch.Tensor], *axes: object, images: int = 4) -> BatchSizes:
    """The batch sizes of `body` on one input for each of `axes`."""
    example = tuple(torch.zeros(images, 3) for _ in axes)
    shapes = (tuple({0: axis} for axis in axes),)
    program: ExportedProgram = torch.export.export(
        Apply(body), example, dynamic_shapes=shapes, strict=False
    )
    inputs = program.graph_signature.user_inputs
    tensors = [node.meta["val"] for node in program.graph.nodes if node.name in inputs]
    return batch_sizes_of(program, [tensor.shape[0] for tensor in tensors])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda x: x.relu(), BatchSizes()),
        (lambda x: x if x.shape[0] <= 5 else -x, BatchSizes(1, 5)),
        (lambda x: x if x.shape[0] < 5 else -x, BatchSizes(1, 4)),
        (lambda x: x if x.shape[0] > 2 else -x, BatchSizes(3)),
        (lambda x: x if 3 <= x.shape[0] <= 7 else -x, BatchSizes(3, 7)),
        # Torch says nothing about one image.
        (lambda x: x if x.shape[0] >= 2 else -x, BatchSizes()),
    ],
)
def test_bounds(body: Callable[[torch.Tensor], torch.Tensor], expected: BatchSizes) -> None:
    assert _found(body, Dim.DYNAMIC) == expected


def test_named_bounds() -> None:
    assert _found(torch.relu, Dim("images", min=3, max=9)) == BatchSizes(3, 9)
    assert _found(torch.relu, Dim("images", min=2)) == BatchSizes()


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (lambda x: x if x.shape[0] % 2 == 0 else -x, [2, 4, 6, 8]),
        (lambda x: x if x.shape[0] != 6 else -x, [2, 3, 4, 5, 7, 8]),
        (lambda x: x if x.shape[0] % 2 == 0 and x.shape[0] < 7 else -x, [2, 4, 6]),
    ],
)
def test_conditions(body: Callable[[torch.Tensor], torch.Tensor], taken: list[int]) -> None:
    found = _found(body, Dim.DYNAMIC)
    assert [size for size in range(2, 9) if size in found] == taken
    assert len(found.conditions) == 1
    assert "batch" in found.conditions[0]


def test_inputs_have_one_batch_size() -> None:
    found = _found(lambda x, y: x + y if y.shape[0] <= 5 else x, Dim.DYNAMIC, Dim.DYNAMIC)
    assert (found.least, found.most) == (1, 5)
    assert [size for size in range(1, 8) if size in found] == [1, 2, 3, 4, 5]
