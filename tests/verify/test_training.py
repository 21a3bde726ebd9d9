"""`compare_training`: errors and shapes count, and networks that cannot train are left out."""

from typing import Any

import torch
from channel_networks import Around
from torch import nn

from openwork.compact import compact
from openwork.verify import compare_training

EXAMPLE = torch.rand(2, 3, 12, 12)


class Targets(Around):
    """Needs labels to train, as detectors do."""

    def forward(self, x: torch.Tensor, targets: Any = None) -> Any:
        return super().forward(x) + (targets["boxes"] if self.training else 0)


def test_training_that_needs_more_than_images_is_left_out() -> None:
    _, report = compact(Targets(), EXAMPLE)
    assert "does not run in training mode" in report.training


class Training(nn.Module):
    """Runs `body` in training mode, and nothing in evaluation mode."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if self.training else x


def test_equal_networks_do_not_differ() -> None:
    model = Training(nn.Dropout()).eval()
    found = compare_training(model, model, (EXAMPLE,))
    assert found == "outputs in training mode differ by 0.0e+00, randomness included"
    assert not model.training


def test_other_numbers_are_told() -> None:
    found = compare_training(Training(nn.Identity()), Training(nn.Flatten(2).eval()), (EXAMPLE,))
    assert found is None
    halved = nn.AvgPool2d(1, divisor_override=2)
    found = compare_training(Training(nn.Identity()), Training(halved), (EXAMPLE,))
    assert found == "outputs in training mode differ by 5.0e-01, randomness included"


def test_a_network_that_no_longer_trains_is_found() -> None:
    assert compare_training(nn.Identity(), Training(nn.Conv2d(4, 4, 1)), (EXAMPLE,)) is None
    found = compare_training(Training(nn.Conv2d(4, 4, 1)), nn.Identity(), (EXAMPLE,))
    assert found == "the original does not run in training mode on these inputs"


def test_a_single_image_is_doubled_for_batch_norms() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(432))
    assert "differ by 0.0e+00" in str(compare_training(model, model, (EXAMPLE[:1],)))
    assert model[1].num_batches_tracked == 0
