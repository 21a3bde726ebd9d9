"""The process group of a `torchrun` job: joined once and left cleanly."""

import atexit
import os

import torch.distributed as dist


def join_processes() -> None:
    """Join the process group of a `torchrun` job, unless there is none or it was joined already.

    The group is left when Python exits: gloo's threads may hold tensors after the last exchange,
    and releasing those after the interpreter is gone aborts the process.
    """
    started = dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not started or dist.is_initialized():
        return
    dist.init_process_group()
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
