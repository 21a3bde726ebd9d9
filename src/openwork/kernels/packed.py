"""Pack once, run often: one layer on one kernel."""

from typing import Any

from numpy.typing import ArrayLike

from openwork.kernels.candidate import Candidate
from openwork.kernels.problem import Problem


class Packed:
    """A problem packed for one candidate.

    Args:
        problem: the layer.
        candidate: from `candidates(problem)`.
    """

    def __init__(self, problem: Problem, candidate: Candidate) -> None:
        self.problem = problem
        self.name = candidate.name
        # The extension takes tensors too, which its generated stub does not say.
        self._layer: Any = candidate.build(problem)

    def __repr__(self) -> str:
        return f"Packed({self.name})"

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""
        return self._layer.workspace(batch, threads)

    def run(
        self,
        input: ArrayLike,
        output: ArrayLike,
        workspace: ArrayLike,
        residual: ArrayLike | None = None,
        threads: int = 1,
    ) -> None:
        """Write activation(convolution + bias + residual) to `output`; nothing is allocated.

        Args:
            input: array or tensor (batch, in_channels, height, width), contiguous float32.
            output: (batch, out_channels, height', width'), contiguous float32.
            workspace: (floats,), its contents are lost; not shared by concurrent calls.
            residual: of the output's shape, or None.
            threads: of the OpenMP pool, which torch shares.
        """
        self._layer.run(input, output, residual, workspace, threads)
