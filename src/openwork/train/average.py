"""`WeightAverage`: the exponential moving average of a network's weights while it trains."""

import torch
from torch import nn

from openwork._copy import copied
from openwork.train.growth import GrowthSchedule


class WeightAverage:
    """A copy of `model` whose weights follow those of the model slowly.

    After step n (from 0) each weight is `d * average + (1 - d) * weight`, with d the smaller of
    `decay` and n / (10 + n): the first weights do not count, and a short run soon leaves its
    start. Running statistics of batch normalisation are averaged alike.

    Args:
        model: the network that is trained.
        decay: in (0, 1).

    Attributes:
        model: the averaged network, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copied(model).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow `model` after training step `step` of the run, counted from 0."""
        share = 1 - min(self._decay, step / (10 + step))
        for mine, its in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(its, share)
        for mine, its in zip(self.model.buffers(), model.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(its, share)
            else:
                mine.copy_(its)

    def grow(self, growth: GrowthSchedule, step: int) -> None:
        """Grow before training step `step` as the model does, to the same patterns."""
        growth.step(self.model, (), step)
