"""Search masks for the toy network, alone or as one process of several, and write the plan."""

import argparse
import json
import os
import resource
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3]))

from torch import nn
from toy_search import toy_error, toy_network

from openwork import prune
from openwork.errors import OpenworkError


def _failing(model: nn.Module, share: float) -> float:
    """Fails on the second process only."""
    if os.environ.get("RANK") == "1":
        raise ValueError("no such data")
    return toy_error(model, share)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    rank = os.environ.get("RANK", "0")
    if options.full and rank == "0":
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
    try:
        plan = prune.search(
            toy_network(),
            _failing if options.fail else toy_error,
            ratio=0.5,
            candidates=21,
            seed=3,
            log=options.out / "search.jsonl",
            progress=False,
        )
    except OpenworkError as error:
        (options.out / f"error-{rank}.txt").write_text(str(error))
        return
    (options.out / f"plan-{rank}.json").write_text(json.dumps(plan.to_dict()))


if __name__ == "__main__":
    main()
