"""`compact` on CIFAR-10 ResNets that others trained: dead scales go, no image changes its class."""

import pytest
import torch
from cifar_resnets import CORRECT, Block, held_out, trained
from parts import part
from torch import nn

from openwork.compact import compact

BELOW = 1e-3


@torch.no_grad()
def _classes(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    # In this order of numbers torch takes two thirds of the time.
    kind = torch.channels_last
    model = model.to(memory_format=kind)  # type: ignore[call-overload]
    batches = images.split(250)
    return torch.cat([model(batch.to(memory_format=kind)).argmax(1) for batch in batches])


def _check(depth: int, count: int) -> tuple[int, int]:
    """Compact, compare, and count the correct images before and after."""
    model = trained(depth)
    images, labels = held_out(count)
    small, report = compact(model, images[:2], gamma_below=BELOW)
    expected = 0
    for name, block in model.named_modules():
        if isinstance(block, Block):
            dead = block.bn1.weight.abs() < BELOW
            assert (block.bn1.bias[dead] <= 0).all()
            left = part(small, f"{name}.conv1", nn.Conv2d).out_channels
            assert left == len(dead) - dead.sum()
            assert part(small, f"{name}.conv2", nn.Conv2d).in_channels == left
            expected += int(dead.sum())
    assert expected > 10
    assert sum(row[3] for row in report.layers.rows) >= expected
    assert report.change is not None
    assert report.change < 1e-5
    assert report.untrained == ()
    before, after = _classes(model, images), _classes(small, images)
    assert torch.equal(before, after)
    assert "gamma_below=0.001 would remove about" in str(compact(model, images[:2])[1])
    return int((before == labels).sum()), int((after == labels).sum())


def test_dead_scales_go_and_no_image_changes_its_class() -> None:
    before, after = _check(20, 200)
    assert before == after > 170


@pytest.mark.slow
@pytest.mark.parametrize("depth", CORRECT)
def test_accuracy_over_all_images_is_the_same(depth: int) -> None:
    assert _check(depth, 10_000) == (CORRECT[depth], CORRECT[depth])
