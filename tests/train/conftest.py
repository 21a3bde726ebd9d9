"""A data set and a network so small that training takes no time."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from openwork.data import DataSet, Split
from openwork.nn import Plan, sparsify_


def _split(count: int, seed: int) -> Split:
    """Images (N, 1, 8, 8) of noise, one quarter of them bright: the class."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, count)
    images = draw.integers(0, 100, (count, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 100
    return Split(images.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture
def toy() -> DataSet:
    """70 training images, so that batches of 16 leave a rest of 6."""
    return DataSet("toy", _split(70, 0), _split(30, 1), tuple("abcd"), (0.3,), (0.2,))


@pytest.fixture
def plan() -> Plan:
    return Plan({"*": {"pattern": "random", "density": 0.5}})


@pytest.fixture
def make(plan: Plan) -> Callable[..., nn.Sequential]:
    """`make()`: a sparse network for `toy`, the same each time.

    Its first layer has one input only, which every filter must read: that one stays dense.
    """

    def made(plan: Plan | None = plan, width: int = 8, dropout: float = 0.2) -> nn.Sequential:
        torch.manual_seed(5)
        model = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width * 16, 4),
        )
        return model if plan is None else sparsify_(model, plan)

    return made


@pytest.fixture(autouse=True)
def _same_random_state() -> Iterator[None]:
    """`fit` seeds torch; no test sees what another one left."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
