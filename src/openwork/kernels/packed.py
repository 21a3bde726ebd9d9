"""Pack once, run often: one layer on one kernel."""

from typing import Any

import torch

from openwork.kernels.dispatch import Candidate, candidates
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
        input: torch.Tensor,
        output: torch.Tensor,
        workspace: torch.Tensor,
        residual: torch.Tensor | None = None,
        threads: int = 1,
    ) -> None:
        """Write activation(convolution + bias + residual) to `output`; nothing is allocated.

        Args:
            input: (batch, in_channels, height, width), contiguous float32.
            output: (batch, out_channels, height', width'), contiguous float32.
            workspace: (floats,), its contents are lost; not shared by concurrent calls.
            residual: of the output's shape, or None.
            threads: of torch's own OpenMP pool.
        """
        self._layer.run(input, output, residual, workspace, threads)

    def __call__(
        self, input: torch.Tensor, residual: torch.Tensor | None = None, threads: int | None = None
    ) -> torch.Tensor:
        """`run` into a new output, on as many threads as torch uses."""
        threads = threads or torch.get_num_threads()
        batch = input.shape[0]
        geometry = self.problem.geometry
        output = torch.empty(batch, geometry.out_channels, *geometry.out_size)
        workspace = torch.empty(self.workspace(batch, threads))
        self.run(input, output, workspace, residual, threads)
        return output


def plans(problem: Problem, isa: str | None = None, batch: int | None = None) -> list[Packed]:
    """`problem` packed for each of its candidates."""
    return [Packed(problem, candidate) for candidate in candidates(problem, isa, batch)]
