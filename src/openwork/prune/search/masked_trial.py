"""The error of a network with some of its weights set to zero, which leaves it as it was."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import nn

from openwork._mode import evaluation
from openwork._unchanged import unchanged
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.recalibrate import recalibrate_
from openwork.prune.search.masked import Masked
from openwork.prune.units.layers import Layer


class MaskedTrial:
    """Measures the error under masks. It can be sent to other processes.

    Args:
        model: the network.
        evaluate: measures its error.
        layers: those that masks may name.
        batches: training images, over which batch normalisation is measured again under each
            mask; default None, not at all.
    """

    def __init__(
        self,
        model: nn.Module,
        evaluate: Evaluate,
        layers: Mapping[str, Layer],
        batches: Iterable[Any] | None = None,
    ) -> None:
        self._model, self._evaluate, self._batches = model, evaluate, batches
        self._masked = Masked(layers)

    def error(self, masks: Mapping[str, np.ndarray], share: float, what: str) -> float:
        """The error with only the weights of `masks` live.

        Args:
            masks: layer -> boolean array of the shape of its dense weight.
            share: share of the data, in (0, 1].
            what: name of the trial in messages.

        Raises:
            OpenworkError: `evaluate` does not return a finite number. What it raises passes
                through.
        """
        # `error_of` puts back what evaluating changes.
        kept = nullcontext() if self._batches is None else unchanged(self._model)
        with kept, evaluation(self._model), self._masked.trial(masks):
            if self._batches is not None:
                recalibrate_(self._model, self._batches)
            return error_of(self._model, self._evaluate, share, what)

    def on_accelerator(self) -> bool:
        """Whether the network has a parameter on one."""
        return any(parameter.is_cuda for parameter in self._model.parameters())
