"""Folders as commands write them, without the training."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

import openwork as ow
from openwork.io import container
from openwork.nn import Plan, sparsify_

PLAN = Plan({"conv:*": {"pattern": "random", "density": 0.25}})
COLUMNS = ["layer", "weight", "map", "density", "kernel", "ms", "torch ms", "ratio"]


def trained(folder: Path, layer: str = "conv") -> Path:
    """A finished run of three epochs whose only layer is called `layer`."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module(layer, nn.Conv2d(4, 8, 3))
    sparsify_(model, PLAN)
    metrics = {"data": "digits", "test_accuracy": 0.75}
    ow.save(model, folder / "model.safetensors", plan=PLAN, metrics=metrics)
    recipe = {"epochs": 3, "optimizer": "adam", "lr": 0.01, "flip": False, "seed": 0}
    recipe["growth"] = {"start": 0.05, "every": 100}
    data = {"name": "digits", "train": 1000, "test": 100}
    identity = {"model": "Sequential", "data": data, "recipe": recipe}
    tensors = {"model.conv.weight": torch.zeros(72), "optimizer.0.exp_avg": torch.zeros(72)}
    container.write(folder / "state.safetensors", tensors, {"kind": "run", "identity": identity})
    rows = ["epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,seconds"]
    rows += [f"{e},0.01,{1 / e},{1 - 0.5 / e},{1.5 / e},{0.25 * e},2.0" for e in (1, 2, 3)]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    dead = "epoch,layer,dead,channels\n" + "".join(f'{e},"{layer}",{e},8\n' for e in (1, 2, 3))
    (folder / "sparsity.csv").write_text(dead)
    return folder


def pruned(folder: Path) -> Path:
    """The result of a search over four masks and two stages."""
    folder.mkdir(parents=True)
    scores = [(0, 0.25, 0.3), (1, 0.25, 0.2), (2, 0.25, 0.5), (3, 0.25, 0.4), (1, 1.0, 0.25)]
    lines = [{"kind": "search"}]
    lines += [{"candidate": c, "share": s, "error": e} for c, s, e in scores]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "search-1.jsonl").write_text(text)
    for stage in (1, 2):
        result = {
            "granularity": "kernel",
            "ratio": 0.25 * stage,
            "parameters": 1000 // stage,
            "cut": 0.3,
            "recalibrated": None,
            "retrained": 0.1 * stage,
        }
        model = nn.Sequential(nn.Conv2d(1, 2, 3))
        ow.save(model, folder / f"stage-{stage}.safetensors", metrics={"result": result})
    return folder


def bench(layer: str = "conv") -> dict[str, Any]:
    """What `openwork bench` writes as JSON."""
    row = [layer, "8x3x3x3", "8x8", 0.25, "f32-conv-taps", 0.5, 2.0, 4.0]
    networks = [
        {"name": "dense, torch", "ms": 2.4, "low": 2.3, "high": 2.6, "speed_up": 1.0},
        {"name": "as it is, compiled", "ms": 0.6, "low": 0.5, "high": 0.7, "speed_up": 4.0},
    ]
    return {
        "batch": 1,
        "threads": 2,
        "networks": networks,
        "layers": {"columns": COLUMNS, "rows": [row], "total": None, "notes": []},
        "steps": [],
        "difference": 1.5e-6,
        "why": "One call takes 0.60 ms.",
    }


def put(folder: Path, name: str, held: dict[str, Any]) -> None:
    """Write `held` as the JSON file `name` of `folder`."""
    (folder / f"{name}.json").write_text(json.dumps(held))
