"""What outputs are compared over: sizes, kinds of numbers, and inputs that are not taken."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around
from torch import nn

from openwork.compact import compact
from openwork.errors import VerificationError
from openwork.verify.compare import ANOTHER_SIZE, apart

EXAMPLE = torch.rand(2, 3, 12, 12)


class Beside(nn.Module):
    """A network of an image, and of a vector that is added in the end."""

    def __init__(self, body: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.around, self.vector = Around(body, lambda y: y.mean((2, 3)), 0.7), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return self.around(x) + self.vector(vector)


class Patches(Around):
    """Takes images in patches of 12 only."""

    def forward(self, x: torch.Tensor) -> Any:
        assert (x.shape[2] % 12, x.shape[3] % 12) == (0, 0)
        return super().forward(x)


def _over_sides(x: torch.Tensor) -> torch.Tensor:
    return F.relu(x) / x.shape[-1]


@pytest.mark.parametrize(
    "model",
    [Around(_over_sides, constant=0.7), Patches(_over_sides, constant=0.7), Beside(_over_sides)],
    ids=["any size", "patches", "and a vector"],
)
def test_what_depends_on_the_size_is_no_constant(model: nn.Module) -> None:
    vector = (torch.rand(2, 5),) if isinstance(model, Beside) else ()
    small, proof = compact(model.eval(), (EXAMPLE, *vector))
    assert ANOTHER_SIZE in {case.what for case in proof.cases}
    assert "one image size" not in str(proof)
    for size in (24, 36):
        x = torch.rand(2, 3, size, size)
        assert torch.allclose(small(x, *vector), model(x, *vector), rtol=0, atol=1e-5)


def test_a_sum_over_a_map_of_one_number_is_no_constant() -> None:
    def small_sum(x: torch.Tensor) -> torch.Tensor:
        return F.relu(x[:, :, ::12, ::12]).sum((2, 3), keepdim=True)

    model = Around(small_sum, constant=0.7).eval()
    small, proof = compact(model, EXAMPLE)
    assert proof.relative < 1e-5
    x = torch.rand(2, 3, 48, 48)
    assert torch.allclose(small(x), model(x), rtol=0, atol=1e-5)


def test_that_no_other_size_is_taken_is_said() -> None:
    class Fixed(Around):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x) * {(12, 12): 1}[tuple(x.shape[2:])]

    small, proof = compact(Fixed(), EXAMPLE)
    assert small.conv.out_channels == 5
    assert "one image size" in str(proof)


@pytest.mark.parametrize(
    "end",
    [lambda y: y.mean(), lambda y: (y, y.mean((2, 3))[:, :0]), torch.fft.fft2],
    ids=["one number", "none", "complex"],
)
def test_outputs_of_every_kind(end: Callable[[torch.Tensor], Any]) -> None:
    small, proof = compact(Around(end=end), EXAMPLE)
    assert small.conv.out_channels == 5
    assert proof.relative < 1e-5


def test_imaginary_parts_are_compared() -> None:
    one, two = torch.tensor([3 + 4j]), torch.tensor([3 + 2j])
    assert apart([one], [two]) == (2, 0.5)
    with pytest.raises(VerificationError, match="the same outputs twice"):
        compact(Around(end=lambda y: torch.complex(y, torch.rand_like(y))), EXAMPLE)


class Targets(Around):
    """Needs more to train than to run, as detectors do."""

    def forward(self, x: torch.Tensor, targets: Any = None) -> Any:
        return super().forward(x) + (targets["boxes"] if self.training else 0)


def test_training_that_needs_more_than_images_is_left_out() -> None:
    _, proof = compact(Targets(), EXAMPLE)
    assert "does not run in training mode" in proof.training
