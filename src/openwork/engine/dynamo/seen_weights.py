"""`SeenWeights`: the weights that a graph was compiled with, and whether others are the same."""

from collections.abc import Sequence

import numpy as np
import torch

# Numbers of each weight that are compared in each call.
_COMPARED = 1024


class SeenWeights:
    """Which tensors they are, and what is in them.

    Fused optimisers, batch norms in training and writes to `.data` or through NumPy raise no
    version, so contents are compared too: all numbers of a small weight, and evenly spaced ones of
    a larger one. Views of them are kept, because making one takes longer than comparing it.

    Args:
        weights: tensors of any shape, on the CPU.
    """

    def __init__(self, weights: Sequence[torch.Tensor]) -> None:
        self._marks = _marks(weights)
        self._views = [_view(weight) for weight in weights]
        self._contents = [view.tobytes() for view in self._views]

    def are(self, weights: Sequence[torch.Tensor]) -> bool:
        """Whether `weights` are the same tensors in the same memory, and hold the same numbers."""
        return _marks(weights) == self._marks and all(
            view.tobytes() == content
            for view, content in zip(self._views, self._contents, strict=True)
        )


def _marks(weights: Sequence[torch.Tensor]) -> list[tuple[int, int, int]]:
    """What differs once a weight is another tensor, is written to, or gets other memory."""
    return [
        (id(weight), -1 if weight.is_inference() else weight._version, weight.data_ptr())
        for weight in weights
    ]


def _view(weight: torch.Tensor) -> np.ndarray:
    # In the order of memory: other orders would be copies, which see no writes.
    flat = weight.detach().numpy().ravel(order="K")
    return flat[:: max(1, flat.size // _COMPARED)]
