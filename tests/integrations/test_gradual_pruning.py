"""Cuts between training steps: when, how much, and what follows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.integrations import GradualPruning
from openwork.nn.layers import sparse_layers

Make = Callable[[], Any]
Images = tuple[torch.Tensor, torch.Tensor]


def _densities(model: nn.Module) -> dict[str, float]:
    return {name: layer.pattern.density for name, layer in sparse_layers(model).items()}


def test_cuts_come_at_their_steps_and_reach_the_ratio(make: Make, images: Images) -> None:
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pruning = GradualPruning(0.5, steps=2, begin=2, every=3)
    batches = [(images[0][:12], images[1][:12]), (images[0][12:], images[1][12:])]
    cut = []
    for step in range(10):
        if pruning.step(model, optimizer, step, batches):
            cut.append((step, _densities(model)))
        loss = nn.functional.cross_entropy(model(batches[step % 2][0]), batches[step % 2][1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # 1 - (1 - 1/2)**3 of the way, then all of it; first and last layer stay.
    assert cut == [(2, {"3": 0.5625, "6": 0.5625}), (5, {"3": 0.5, "6": 0.5})]
    assert {id(p) for p in model.parameters()} == {
        id(p) for group in optimizer.param_groups for p in group["params"]
    }
    state = optimizer.state[model[3].weight]
    assert state["momentum_buffer"].shape == model[3].weight.shape == (32 * 9,)


def test_batch_norms_are_measured_again(make: Make, images: Images) -> None:
    again, stale = make(), make()
    for model, count in ((again, 1), (stale, 0)):
        assert GradualPruning(0.5, steps=1, recalibrate=count).step(model, None, 0, [images])
    seen = torch.zeros(0)

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal seen
        seen = output

    again[3].register_forward_hook(keep)
    again.train()(images[0])
    torch.testing.assert_close(again[4].running_mean, seen.mean((0, 2, 3)), rtol=0.2, atol=1e-3)
    assert stale[4].running_mean.abs().max() == 0


def test_chosen_layers_only(make: Make, images: Images) -> None:
    model = make()
    GradualPruning(0.5, steps=1, layers=["6"]).step(model, None, 0, [images])
    assert list(sparse_layers(model)) == ["6"]


def test_what_cannot_be_is_refused(make: Make) -> None:
    with pytest.raises(ArgumentError, match="`criterion`='taylor'"):
        GradualPruning(0.5, criterion="taylor")
    with pytest.raises(ArgumentError, match="`ratio`=1"):
        GradualPruning(1.0)
    with pytest.raises(ArgumentError, match="`every`=0"):
        GradualPruning(0.5, every=0)
    with pytest.raises(ArgumentError, match="`batches` is empty"):
        GradualPruning(0.5).step(make(), None, 0, [])
