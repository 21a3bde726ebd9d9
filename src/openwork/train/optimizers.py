"""Optimisers by name, with L2 and decoupled weight decay as separate settings."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from openwork.train.recipe import Recipe

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
}


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser that `recipe` names, over the `parameters` that require gradients."""
    kind = OPTIMIZERS[recipe.optimizer]
    settings: dict[str, Any] = {"lr": recipe.peak_lr, "weight_decay": recipe.l2}
    if recipe.optimizer in ("sgd", "rmsprop"):
        settings["momentum"] = recipe.momentum
    if recipe.optimizer in ("adam", "adamw"):
        settings["betas"] = (0.9, recipe.beta2)
    if recipe.optimizer == "adamw":
        settings["weight_decay"] = recipe.weight_decay
    optimizer = kind([p for p in parameters if p.requires_grad], **settings)
    if recipe.weight_decay and recipe.optimizer != "adamw":
        _decay_decoupled(optimizer, recipe.weight_decay)
    return optimizer


def _decay_decoupled(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Multiply every weight by `1 - lr * weight_decay` before each step, as AdamW does."""

    @torch.no_grad()
    def shrink(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * weight_decay)

    optimizer.register_step_pre_hook(shrink)
