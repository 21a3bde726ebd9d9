"""`compact` on CIFAR-10 ResNets that others trained: dead scales go, no image changes its class."""

import pytest
import torch
from cifar_resnets import CORRECT_OF_FIRST, FIRST, Block, classes, held_out, trained
from parts import part
from torch import nn

from openwork.compact import compact

BELOW = 1e-3


def _cut(model: nn.Module, image: torch.Tensor) -> nn.Module:
    """The network without its dead scales, after a look at what went."""
    small, report = compact(model, image, gamma_below=BELOW)
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
    assert "gamma_below=0.001 would remove about" in str(compact(model, image)[1])
    return small


def test_dead_scales_go_and_no_image_changes_its_class() -> None:
    model, (images, labels) = trained(20), held_out(200)
    found = classes(_cut(model, images[:2]), images)
    assert torch.equal(found, classes(model, images))
    assert (found == labels).sum() > 170


@pytest.mark.slow
def test_accuracy_over_many_images_is_the_same() -> None:
    images, labels = held_out(FIRST)
    found = classes(_cut(trained(20), images[:2]), images)
    assert (found == labels).sum() == CORRECT_OF_FIRST[20]
