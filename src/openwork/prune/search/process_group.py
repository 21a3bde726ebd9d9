"""The processes of a `torchrun` job, as far as a search needs them."""

from collections.abc import Callable
from typing import Any, Self

import torch.distributed as dist

from openwork._processes import join_processes
from openwork.errors import OpenworkError


class ProcessGroup:
    """All processes of the job within a `with` block; a single process where there is no job.

    Attributes:
        rank: number of this process.
        size: number of processes.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        self._group: Any = None

    def __enter__(self) -> Self:
        join_processes()
        if dist.is_available() and dist.is_initialized():
            self.rank, self.size = dist.get_rank(), dist.get_world_size()
            # Scores are Python numbers, which a group of accelerators cannot exchange.
            self._group = dist.new_group(backend="gloo") if self.size > 1 else None
        return self

    def __exit__(self, *raised: object) -> None:
        if self._group is not None:
            dist.destroy_process_group(self._group)

    def run_on_first(self, work: Callable[[], Any]) -> Any:
        """Call `work` on the first process; return its result, or raise its error, on all.

        Raises:
            OpenworkError: what `work` raised, or an error that names it.
        """
        value, error = None, None
        if self.rank == 0:
            try:
                value = work()
            except OpenworkError as raised:
                error = raised
            except Exception as raised:
                # Every kind of error: the other processes wait, and must hear of it.
                error = OpenworkError(f"{type(raised).__name__}: {raised}")
                error.__cause__ = raised
        value, error = self.gather((value, error))[0]
        if error is not None:
            raise error
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank, on each of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values
