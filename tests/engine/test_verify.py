"""Batch sizes for which a compiled network is the original."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork.engine import CompiledModel
from openwork.engine.verify import OtherBatches, verify
from openwork.errors import VerificationError

IMAGES = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class AtSize(nn.Module):
    """`inner`, but for one batch size, where it gives something else or raises an error."""

    def __init__(self, inner: nn.Module, size: int, error: bool = False) -> None:
        super().__init__()
        self.inner, self.size, self.error = inner, size, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) != self.size:
            return self.inner(x)
        if self.error:
            raise ValueError("not this many")
        return self.inner(x) + 1


def _pair(build: Callable[..., CompiledModel]) -> tuple[nn.Module, CompiledModel]:
    model = nn.Conv2d(3, 4, 3)
    return model, build(model, IMAGES)


def test_the_same_network_at_every_size(build: Callable[..., CompiledModel]) -> None:
    model, compiled = _pair(build)
    assert verify(model, compiled, (IMAGES,), True, 1e-5) < 1e-6
    assert 1 in compiled.batches


def test_another_result_on_the_example_is_refused(build: Callable[..., CompiledModel]) -> None:
    model, compiled = _pair(build)
    with pytest.raises(VerificationError, match="the compiled network differs from the original"):
        verify(AtSize(model, 2), compiled, (IMAGES,), True, 1e-5)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (False, "3 images take a different path through the network"),
        (True, "3 images give ValueError: not this many"),
    ],
)
def test_another_result_of_another_batch_fixes_the_size(
    build: Callable[..., CompiledModel], error: bool, message: str
) -> None:
    model, compiled = _pair(build)
    with pytest.raises(OtherBatches, match=message):
        verify(AtSize(model, 3, error), compiled, (IMAGES,), True, 1e-5)


@pytest.mark.parametrize("error", [False, True])
def test_one_image_that_gives_something_else_is_not_taken(
    build: Callable[..., CompiledModel], error: bool
) -> None:
    model, compiled = _pair(build)
    assert verify(AtSize(model, 1, error), compiled, (IMAGES,), True, 1e-5) < 1e-6
    assert 1 not in compiled.batches
    assert 2 in compiled.batches
    assert "a batch of one image takes a different path" in compiled.layers.notes[-1]


@pytest.mark.parametrize("error", [False, True])
def test_an_example_of_one_image_may_be_special(
    build: Callable[..., CompiledModel], error: bool
) -> None:
    model, compiled = _pair(build)
    special = AtSize(model, 1, error)
    with pytest.raises(OtherBatches, match="a batch of one image takes a different path"):
        verify(special, compiled, (IMAGES[:1],), True, 1e-5)
    with pytest.raises(ValueError if error else VerificationError):
        verify(special, compiled, (IMAGES[:1],), False, 1e-5)
