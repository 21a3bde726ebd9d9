"""`NativeSegment`: a native program that takes and gives tensors."""

import numpy as np
import torch

from openwork.engine.segment import Environment
from openwork.runtime.program import Native


class NativeSegment:
    """Consecutive nodes that the kernels run.

    Args:
        program: of those nodes.
    """

    def __init__(self, program: Native) -> None:
        self._program = program
        self.reads = program.reads
        self.steps = program.steps

    def run(
        self, tensors: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Add all outputs to `tensors`."""
        # As numpy arrays: handing over torch tensors costs ten times as much, 4 us for each.
        inputs = [tensors[value].detach().contiguous().numpy() for value in self.reads]
        outputs = [
            torch.empty(batch, *value.shape, dtype=torch.float32, device="cpu")
            for value in self._program.outputs
        ]
        arrays = [output.numpy() for output in outputs]
        self._program.run(inputs, arrays, batch, threads, seconds)
        tensors.update(zip(self._program.outputs, outputs, strict=True))
