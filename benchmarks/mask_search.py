"""How long a mask search takes: CNN_small at half width, judged on held-out CIFAR-10 images.

    python benchmarks/mask_search.py [--candidates 100] [--images 10000] [--threads 2] [--all]

Needs CIFAR-10 (`OPENWORK_DATA` or the hub). The network is trained for one epoch of 10,000 images,
so that errors distinguish candidates; kernels are removed at a ratio of 0.4. With `--all`, all
candidates are also scored on all images, as in the paper. Writes mask_search-<threads>t.json.
"""

import argparse
import copy
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import machine
from torch import nn

import openwork as ow
from openwork.data import DataSet, Split

RATIO = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="also search without halving")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    held = ow.prune.hold_out(ow.data.load("cifar10"))
    held = replace(held, train=_first(held.train, 10_000), test=_first(held.test, options.images))
    model, judge = trained(held), ow.prune.error_on(held)
    rows = [timed(model, judge, options.candidates, halving=True)]
    if options.all:
        rows.append(timed(model, judge, options.candidates, halving=False))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    record = {"machine": machine(), "arguments": vars(options), "rows": rows}
    path = Path(__file__).with_name(f"mask_search-{options.threads}t.json")
    path.write_text(json.dumps(record, indent=1) + "\n")


def trained(data: DataSet) -> nn.Module:
    torch.manual_seed(0)
    model = ow.models.build("cnn_small", depth_multiplier=0.5)
    recipe = ow.train.Recipe(epochs=1, batch_size=64, optimizer="adam")
    ow.train.fit(model, data, recipe, progress=False)
    return model


def timed(model: nn.Module, judge: Any, candidates: int, *, halving: bool) -> dict[str, float]:
    """Seconds of one search, and the errors of the network without and with the chosen masks."""
    began = time.perf_counter()
    plan = ow.prune.search(
        model, judge, ratio=RATIO, candidates=candidates, halving=halving, progress=False
    )
    seconds = time.perf_counter() - began
    pruned = ow.prune.apply_(copy.deepcopy(model), plan)
    return {
        "halving": halving,
        "seconds": round(seconds, 1),
        "error_whole": round(judge(model, 1.0), 4),
        "error_best": round(judge(pruned, 1.0), 4),
    }


def _first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


if __name__ == "__main__":
    main()
