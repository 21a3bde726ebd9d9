"""The processes of a `torchrun` job: joined once, left in order."""

import atexit
import os

import torch.distributed as dist


def join_processes() -> None:
    """Join the job that `torchrun` started, if it did and nobody has joined yet.

    What is joined here is left again when Python ends: gloo's threads may hold tensors after the
    last exchange, and giving them back to an interpreter that is gone aborts the process.
    """
    started = dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not started or dist.is_initialized():
        return
    dist.init_process_group()
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
