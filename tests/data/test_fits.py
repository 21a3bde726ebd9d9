"""Network and data are compared before anything runs."""

import numpy as np
import pytest
import torch
from torch import nn

from openwork.data import DataSet, Split, check_fits
from openwork.data.fits import outputs_of
from openwork.errors import ArgumentError
from openwork.runtime.batch_sizes import BatchSizes


def _data(classes: int = 3) -> DataSet:
    split = Split(np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64))
    return DataSet("toy", split, split, tuple("abcdef"[:classes]), (0.5,), (0.5,))


def _net(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, outputs))


def test_classes_are_compared() -> None:
    check_fits(_net(3), _data())
    with pytest.raises(ArgumentError, match=r"has 2 outputs, but .* has 3 classes"):
        check_fits(_net(2), _data())
    with pytest.raises(ArgumentError, match="has 5 outputs"):
        check_fits(_net(5), _data())
    check_fits(_net(5), _data(), exact=False)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"does not take the images of `data`='toy', 1x4x4"):
        check_fits(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), _data())


class _Fixed(nn.Module):
    def __init__(self, sizes: BatchSizes) -> None:
        super().__init__()
        self.batches = sizes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x) in self.batches
        return 2 * x


@pytest.mark.parametrize("sizes", [BatchSizes.of(4), BatchSizes(8), BatchSizes(1, 3)])
def test_a_network_of_few_batch_sizes_is_called_with_those(sizes: BatchSizes) -> None:
    images = torch.arange(10.0).reshape(10, 1, 1, 1)[:7]
    assert torch.equal(outputs_of(_Fixed(sizes), images), 2 * images)
