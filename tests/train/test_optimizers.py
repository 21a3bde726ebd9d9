"""Optimisers: the update rules that the recipe promises, and both kinds of decay."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork.train import Recipe
from openwork.train.optimizers import OPTIMIZERS, make_optimizer
from openwork.train.recipe import DEFAULT_LR

STEPS = 5


def _run(build: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> list[torch.Tensor]:
    """Weights after each of some steps with the same gradients each time."""
    draw = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(6, generator=draw))
    optimizer = build([weight])
    seen = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.9 if step else group["lr"]
        weight.grad = torch.randn(6, generator=draw)
        optimizer.step()
        seen.append(weight.detach().clone())
    return seen


def _ours(recipe: Recipe) -> list[torch.Tensor]:
    return _run(lambda parameters: make_optimizer(parameters, recipe))


def _equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_is_torchs_own(name: str) -> None:
    momentum = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    decay = {"weight_decay": 0.0} if name == "adamw" else {}
    kind = OPTIMIZERS[name]
    expected = _run(lambda parameters: kind(parameters, lr=0.05, **momentum, **decay))
    assert _equal(_ours(Recipe(optimizer=name, lr=0.05)), expected)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adamw"])
def test_l2_is_torchs_weight_decay_in_the_gradient(name: str) -> None:
    momentum = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    kind = OPTIMIZERS[name]
    expected = _run(lambda parameters: kind(parameters, lr=0.05, weight_decay=0.3, **momentum))
    assert _equal(_ours(Recipe(optimizer=name, lr=0.05, l2=0.3)), expected)
    assert not _equal(_ours(Recipe(optimizer=name, lr=0.05)), expected)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_with_decoupled_decay_is_adamw_step_for_step(name: str) -> None:
    expected = _run(lambda parameters: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.3))
    assert _equal(_ours(Recipe(optimizer=name, lr=0.05, weight_decay=0.3)), expected)


def test_sgd_in_closed_form() -> None:
    recipe = Recipe(lr=0.1, momentum=0.5, l2=0.25, weight_decay=0.2)
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = make_optimizer([weight], recipe)
    value, velocity = weight.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for step in range(STEPS):
        gradient = torch.tensor([0.5, step], dtype=torch.float64)
        weight.grad = gradient.clone()
        optimizer.step()
        value = value * (1 - 0.1 * 0.2)
        velocity = 0.5 * velocity + gradient + 0.25 * value
        value = value - 0.1 * velocity
        # The same float64 operations, perhaps fused.
        torch.testing.assert_close(weight.detach(), value, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decoupled_decay_shrinks_by_the_rate_of_the_step(name: str) -> None:
    """With a gradient of zero nothing else moves the weight."""
    weight = nn.Parameter(torch.tensor([2.0, -4.0]))
    optimizer = make_optimizer([weight], Recipe(optimizer=name, lr=0.5, weight_decay=0.5))
    for lr in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = lr
        before = weight.detach().clone()
        weight.grad = torch.zeros(2)
        optimizer.step()
        assert torch.equal(weight.detach(), before * (1 - lr * 0.5))


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.ones(2))
    optimizer = make_optimizer([frozen, free], Recipe(weight_decay=0.1))
    assert [p for group in optimizer.param_groups for p in group["params"]] == [free]


def test_a_parameter_without_gradient_does_not_decay() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = make_optimizer([used, unused], Recipe(optimizer="adam", weight_decay=0.1))
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(2))
    assert not torch.equal(used.detach(), torch.ones(2))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_beta2_is_torchs(name: str) -> None:
    kind = OPTIMIZERS[name]
    expected = _run(
        lambda parameters: kind(parameters, lr=0.05, betas=(0.9, 0.5), weight_decay=0.0)
    )
    assert _equal(_ours(Recipe(optimizer=name, lr=0.05, beta2=0.5)), expected)
    assert not _equal(_ours(Recipe(optimizer=name, lr=0.05)), expected)


def test_every_optimizer_has_a_default_learning_rate() -> None:
    assert OPTIMIZERS.keys() == DEFAULT_LR.keys()
