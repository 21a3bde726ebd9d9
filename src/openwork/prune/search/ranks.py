"""The processes of a `torchrun` job as far as a search needs them: who am I, and exchange."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch.distributed as dist

from openwork._processes import join_processes
from openwork.errors import OpenworkError


class Ranks:
    """All processes of the job within a `with` block; the one process where there is no job.

    Attributes:
        rank: number of this process.
        world: number of processes.
    """

    def __init__(self) -> None:
        self.rank, self.world = 0, 1
        self._group: Any = None

    def __enter__(self) -> Self:
        join_processes()
        if dist.is_available() and dist.is_initialized():
            self.rank, self.world = dist.get_rank(), dist.get_world_size()
            # Scores are Python numbers: a group of accelerators cannot pass them on by itself.
            self._group = dist.new_group(backend="gloo") if self.world > 1 else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._group is not None:
            dist.destroy_process_group(self._group)

    def first(self, work: Callable[[], Any]) -> Any:
        """What `work` gives on the first process, on all of them; so with what it raises.

        Raises:
            OpenworkError: what `work` raised, or one that names it.
        """
        value, error = None, None
        if self.rank == 0:
            try:
                value = work()
            except OpenworkError as raised:
                error = raised
            except Exception as raised:
                # Of any kind: the other processes wait, and must hear of it.
                error = OpenworkError(f"{type(raised).__name__}: {raised}")
                error.__cause__ = raised
        value, error = self.gather((value, error))[0]
        if error is not None:
            raise error
        return value

    def gather(self, value: Any) -> list[Any]:
        """What each process gives, by rank, on all of them."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self._group)
        return values
