"""The network that fits a data set: its classes, channels and size."""

import numpy as np
import pytest
from torch import nn

from openwork.cli.build import build_for
from openwork.data import DataSet, Split
from openwork.errors import ArgumentError
from openwork.models import ModelSource, source_of


def _data(height: int, width: int) -> DataSet:
    split = Split(np.zeros((2, 1, height, width), np.uint8), np.zeros(2, np.int64))
    return DataSet("squares", split, split, ("a", "b", "c"), (0.5,), (0.5,))


def test_sizes_are_those_of_the_images() -> None:
    model = build_for(_data(8, 8), "mlp:64-10-3", 0.5)
    assert isinstance(model, nn.Module)
    assert source_of(model) == ModelSource("mlp:64-10-3", 3, 1, 8, 0.5)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`data`='squares' has images of 8x6 .* --image-size"):
        build_for(_data(8, 6), "mlp:48-3", 1.0)
