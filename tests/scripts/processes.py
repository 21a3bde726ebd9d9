"""Join a job as a fit and a search in one process would, and end while it is joined."""

import atexit
import sys

import torch
import torch.distributed as dist

from openwork._processes import join_processes


def _at_the_end() -> None:
    joined = dist.is_initialized()
    sys.stdout.write(f"joined at the end: {joined}\n")
    if joined:
        dist.destroy_process_group()


def main() -> None:
    # Handlers run last in, first out: this one sees what the later ones have left.
    atexit.register(_at_the_end)
    if "--own" in sys.argv:
        dist.init_process_group("gloo")
    join_processes()
    join_processes()
    ranks = torch.tensor(dist.get_rank())
    dist.all_reduce(ranks)
    sys.stdout.write(f"sum of ranks: {int(ranks)}\n")


if __name__ == "__main__":
    main()
