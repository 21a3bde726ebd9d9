"""Model and optimiser as Fabric wraps them, and wraps them again when the network grew."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from openwork.data import Batch, Batches, Split
from openwork.nn import Plan, sparsify_
from openwork.nn.layers import sparse_layers
from openwork.train import GrowthSchedule, Recipe
from openwork.train.objective import Objective
from openwork.train.trainee import Trainee


def _trainee(growth: GrowthSchedule | None) -> tuple[nn.Module, Trainee]:
    model = nn.Sequential(nn.Linear(8, 8))
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.25}}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fabric = Fabric(accelerator="cpu", devices=1)
    return model, Trainee(fabric, model, optimizer, None, Recipe(growth=growth))


def test_without_growth_nothing_is_wrapped_again() -> None:
    model, trainee = _trainee(None)
    first = trainee.model
    for step in range(4):
        trainee.begin_step(step)
    assert trainee.model is first
    image = torch.ones(1, 8)
    assert torch.equal(trainee.model(image), model(image))


def test_a_network_that_grew_is_wrapped_again() -> None:
    model, trainee = _trainee(GrowthSchedule(start=0.25, every=2))
    densities, wrapped = [], []
    for step in range(4):
        trainee.begin_step(step)
        densities.append(sparse_layers(model)["0"].pattern.density)
        wrapped.append(trainee.model)
    assert densities == [0.25, 0.25, 0.5, 0.5]
    assert wrapped[1] is not wrapped[2]
    assert wrapped[2] is wrapped[3]


def _step(recipe: Recipe, count: int = 12) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Weights after one step of SGD at rate 1, and its sums."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    fabric = Fabric(accelerator="cpu", devices=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainee = Trainee(fabric, model, optimizer, None, recipe)
    images = torch.arange(4.0 * count).reshape(count, 1, 2, 2) / count
    batch = Batch(images, torch.arange(count) % 3, count)
    split = Split(np.zeros((3, 1, 2, 2), np.uint8), np.arange(3))
    sums = trainee.learn(batch, Objective(recipe, None), Batches.in_order(split, [0], [1]), 0)
    return [value.detach() for value in model.parameters()], sums


@pytest.mark.parametrize("parts", [2, 5, 100])
@pytest.mark.parametrize("count", [2, 5, 12])
def test_parts_add_up_to_the_batch(parts: int, count: int) -> None:
    (whole, sums), (split, added) = _step(Recipe(), count), _step(Recipe(accumulate=parts), count)
    torch.testing.assert_close(split, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(added, sums, rtol=1e-6, atol=1e-6)
    assert added[2] == count


def test_gradients_are_clipped_to_the_norm() -> None:
    torch.manual_seed(3)
    start = [value.detach() for value in nn.Sequential(nn.Linear(4, 3)).parameters()]

    def moved(recipe: Recipe) -> float:
        weights, _ = _step(recipe)
        changes = [(a - b).flatten() for a, b in zip(weights, start, strict=True)]
        return torch.cat(changes).norm().item()

    free = moved(Recipe())
    assert moved(Recipe(clip_norm=free / 4)) == pytest.approx(free / 4, rel=1e-3)
    assert moved(Recipe(clip_norm=free * 4)) == pytest.approx(free, rel=1e-5)
