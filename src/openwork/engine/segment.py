"""`Segment`: a part of a compiled network that runs as one call."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from openwork.runtime.values import Value

Environment = dict[Value, torch.Tensor]
"""What has been computed, by value; no value is an alias."""


class Segment(Protocol):
    """A part of the network that runs as one call.

    Attributes:
        reads: values, none of them an alias, that must have been computed before.
        steps: (layer or value, kind of node) of what it does, in order.
    """

    @property
    def reads(self) -> Sequence[Value]: ...

    @property
    def steps(self) -> Sequence[tuple[str, str]]: ...

    def run(
        self, tensors: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Add the outputs to `tensors`; `seconds` (steps,) float64 receives the steps' times."""
        ...
