"""Model and optimiser as Fabric wraps them, and wraps them again when the network grew."""

import torch
from lightning_fabric import Fabric
from torch import nn

from openwork.nn import Plan, sparsify_
from openwork.nn.layers import sparse_layers
from openwork.train import GrowthSchedule
from openwork.train.trainee import Trainee


def _trainee(growth: GrowthSchedule | None) -> tuple[nn.Module, Trainee]:
    model = nn.Sequential(nn.Linear(8, 8))
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.25}}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fabric = Fabric(accelerator="cpu", devices=1)
    return model, Trainee(fabric, model, optimizer, growth)


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
