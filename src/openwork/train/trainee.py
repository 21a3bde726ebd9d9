"""Model and optimiser of a run, wrapped by Fabric."""

import torch
from lightning_fabric import Fabric
from torch import nn

from openwork.train.growth import GrowthSchedule


class Trainee:
    """`model` and `optimizer` of a training step, wrapped for their device and processes.

    Args:
        fabric: wraps them.
        model: the unwrapped network.
        optimizer: the optimiser over its parameters.
        growth: when the network grows, or None.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        growth: GrowthSchedule | None,
    ) -> None:
        self._fabric, self._growth = fabric, growth
        self._plain_model, self._plain_optimizer = model, optimizer
        self._wrap()

    def begin_step(self, step: int) -> None:
        """Prepare training step `step` of the run, counted from 0."""
        if self._growth is None:
            return
        if self._growth.step(self._plain_model, self._plain_optimizer, step):
            # The buckets of DistributedDataParallel have the old sizes.
            self._wrap()

    def _wrap(self) -> None:
        self.model, self.optimizer = self._fabric.setup(self._plain_model, self._plain_optimizer)
