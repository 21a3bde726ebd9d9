"""Model and optimiser of a run, wrapped by Fabric, and the weights' average."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from openwork.data import Batch, Batches
from openwork.train.average import WeightAverage
from openwork.train.objective import Objective, checked_logits
from openwork.train.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Trainee:
    """`model` and `optimizer` of a run, and how they take a training step.

    Args:
        fabric: wraps them for their device and processes.
        model: the unwrapped network.
        optimizer: the optimiser over its parameters.
        average: of its weights, or None.
        recipe: its growth, accumulation and clipping.

    Attributes:
        model, optimizer: wrapped.
    """

    def __init__(
        self,
        fabric: "Fabric",
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        recipe: Recipe,
    ) -> None:
        self._fabric, self._recipe = fabric, recipe
        self._plain_model, self._plain_optimizer = model, optimizer
        self._average = average
        self._wrap()

    @property
    def result(self) -> nn.Module:
        """The network that is tested and kept: the average where there is one."""
        return self._plain_model if self._average is None else self._average.model

    def begin_step(self, step: int) -> None:
        """Prepare training step `step` of the run, counted from 0."""
        growth = self._recipe.growth
        if growth is None:
            return
        if self._average is not None:
            self._average.grow(growth, step)
        if growth.step(self._plain_model, self._plain_optimizer, step):
            # The buckets of DistributedDataParallel have the old sizes.
            self._wrap()

    def learn(
        self, batch: Batch, objective: Objective, batches: Batches, step: int
    ) -> torch.Tensor:
        """Take training step `step` with this rank's share of a batch.

        Returns:
            Sums over the rank's samples (3,), float64: loss, correct samples, samples.
        """
        fabric, recipe = self._fabric, self._recipe
        sums = torch.zeros(3, dtype=torch.float64, device=fabric.device)
        self.optimizer.zero_grad()
        # Each rank has as many parts, because batch normalisation waits for all of them; a part has
        # at least two samples.
        parts = max(1, min(recipe.accumulate, batch.global_count // (2 * fabric.world_size)))
        pairs = zip(batch.images.tensor_split(parts), batch.labels.tensor_split(parts), strict=True)
        for index, (images, labels) in enumerate(pairs, 1):
            with fabric.no_backward_sync(self.model, enabled=index < parts):  # type: ignore[arg-type]
                logits = checked_logits(self.model(images), batches)
                loss = objective(logits, images, labels)
                # DDP averages over ranks; this factor makes it the mean over the global batch, even
                # if the last batch does not divide evenly.
                fabric.backward(loss * (fabric.world_size / batch.global_count))
            correct = (logits.detach().argmax(1) == labels).sum()
            # Rounding may take the distance to a teacher below 0.
            sums += torch.stack(
                [loss.detach().clamp(min=0), correct, loss.new_tensor(len(labels))]
            ).double()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._plain_model.parameters(), recipe.clip_norm)
        self.optimizer.step()
        if self._average is not None:
            self._average.update(self._plain_model, step)
        return sums

    def finish(self) -> None:
        """Give the model the weights that are kept."""
        if self._average is not None:
            self._plain_model.load_state_dict(self._average.model.state_dict())

    def _wrap(self) -> None:
        self.model, self.optimizer = self._fabric.setup(self._plain_model, self._plain_optimizer)
        if self._average is not None:
            self._average.model.to(self._fabric.device)
