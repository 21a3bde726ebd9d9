"""Data to judge masks by are not data to train on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune
from openwork.data import DataSet, Split


@pytest.fixture
def numbered() -> DataSet:
    """Training image n is n everywhere, and its class is n % 3."""
    values = np.arange(50)
    images = np.broadcast_to(values[:, None, None, None], (50, 1, 2, 2)).astype(np.uint8)
    train = Split(images, values % 3)
    return DataSet("numbered", train, train, ("a", "b", "c"), (0.0,), (1.0,))


def test_the_two_parts_are_disjoint_and_complete(numbered: DataSet) -> None:
    data = prune.hold_out(numbered, 0.2)
    train, test = (set(split.images[:, 0, 0, 0].tolist()) for split in (data.train, data.test))
    assert len(train) == 40
    assert len(test) == 10
    assert train | test == set(range(50))
    assert (data.test.labels == data.test.images[:, 0, 0, 0] % 3).all()


def test_what_is_held_out_is_in_random_order_and_fixed_by_the_seed(numbered: DataSet) -> None:
    def rows(seed: int) -> list[int]:
        return prune.hold_out(numbered, 0.5, seed=seed).test.images[:, 0, 0, 0].tolist()

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)
    assert rows(0) != sorted(rows(0))


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001, 0.999])
def test_neither_part_may_be_empty(numbered: DataSet, share: float) -> None:
    with pytest.raises(ow.ArgumentError, match=f"`share`={share} "):
        prune.hold_out(numbered, share)


def test_bad_arguments_are_refused(numbered: DataSet) -> None:
    with pytest.raises(ow.ArgumentError, match=r"`share`='a' must be a number in \(0, 1\)"):
        prune.hold_out(numbered, "a")  # type: ignore[arg-type]
    with pytest.raises(ow.ArgumentError, match="`seed`=-1"):
        prune.hold_out(numbered, seed=-1)


@pytest.mark.parametrize("share", [0, 1.5, float("nan"), "a"])
def test_the_share_of_the_error_is_checked(numbered: DataSet, share: Any) -> None:
    with pytest.raises(ow.ArgumentError, match=rf"`share`={share!r} must be a number in \(0, 1\]"):
        prune.error_on(numbered)(nn.Flatten(), share)


def test_the_error_is_counted_on_the_first_share(numbered: DataSet) -> None:
    class Always(nn.Module):
        """Predicts class 0 for every image, and records the batch sizes."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return torch.tensor([1.0, 0.0, 0.0]).expand(len(x), 3)

    seen: list[int] = []
    evaluate: Callable[[nn.Module, float], float] = prune.error_on(numbered, batch_size=8)
    assert evaluate(Always(), 1.0) == pytest.approx(33 / 50)
    assert sum(seen) == 50
    seen.clear()
    assert evaluate(Always(), 0.2) == pytest.approx(6 / 10)
    assert seen == [8, 2]
