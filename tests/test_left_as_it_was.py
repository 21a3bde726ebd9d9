"""Whatever a verb runs a network for: the network, its class and random numbers stay as they were.

One network stores something wherever it can, and each verb that runs or captures has to put it
back.
"""

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental import proxy_tensor

import openwork as ow
from openwork import _unchanged, prune
from openwork.nn import Plan, count_macs, fuse_norms_, sparsify_, training_table

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCHES = [(X, torch.tensor([0, 1, 2, 3]))]
OUTPUTS: list[torch.Tensor] = []


@functools.lru_cache
def _grid(size: int) -> torch.Tensor:
    return torch.zeros(size)


class KeepsAll(nn.Module):
    """Stores an output with its graph in five places, and draws from six sources of numbers."""

    shared: ClassVar[list[torch.Tensor]] = []
    last: torch.Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.drop, self.head = nn.Dropout(), nn.Linear(8, 4)
        self.torch_numbers = torch.Generator()
        self.system_numbers = random.SystemRandom()
        self.own_numbers = [random.Random(1), np.random.default_rng(1), np.random.RandomState(1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.act(self.norm(self.stem(x)))
        self.kept = KeepsAll.last = kept
        self.shared.append(kept)
        OUTPUTS.append(kept)
        torch.rand(1)
        if self.training:
            # Which torch.export cannot capture.
            torch.rand(1, generator=self.torch_numbers)
        for source in (random, np.random, self.system_numbers, *self.own_numbers):
            source.random()
        y = self.drop(F.relu(self.conv(kept)).mean((2, 3)))
        return self.head(y + _grid(8))


def _state(model: KeepsAll, seen: list[Any]) -> dict[str, Any]:
    python, modern, legacy = model.own_numbers
    return {
        "attributes": sorted(vars(model)),
        "tensors": [t.tolist() for t in model.state_dict().values()],
        "gradients": [id(p.grad) for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "stored": (model.last, len(model.shared), len(OUTPUTS), len(seen)),
        "cache": _grid.cache_info().currsize,
        "torch": torch.get_rng_state().tolist(),
        "torch, own": model.torch_numbers.get_state().tolist(),
        "python": (random.getstate(), python.getstate()),
        "numpy": repr((np.random.get_state(), legacy.get_state(), modern.bit_generator.state)),
    }


@torch.no_grad()
def _score(model: nn.Module, share: float = 1.0) -> float:
    return float(model(X).sum())


def _taylor(model: nn.Module) -> None:
    prune.by_criterion(
        model, "taylor", ratio=0.3, batches=BATCHES, loss=F.cross_entropy, progress=False
    )


def _sensitivity(model: nn.Module) -> None:
    prune.sensitivity(
        model, _score, ratios=[0.5], batches=BATCHES, recalibrate=True, progress=False
    )


def _search(model: nn.Module) -> None:
    prune.search(model, _score, ratio=0.3, candidates=2, progress=False)


def _maps(model: nn.Module) -> None:
    prune.by_criterion(
        model, granularity="feature_map", ratio=0.3, example=X, layers="stem", progress=False
    )


def _export(model: nn.Module) -> None:
    pytest.importorskip("onnxruntime")
    ow.export_onnx(model, X, Path("model.onnx"))


VERBS: dict[str, Callable[[nn.Module], Any]] = {
    "taylor": _taylor,
    "snip": lambda m: prune.at_init(m, BATCHES, density=0.5, progress=False),
    "grasp": lambda m: prune.at_init(m, BATCHES, "grasp", density=0.5, progress=False),
    "synflow": lambda m: prune.at_init(m, BATCHES, "synflow", density=0.5, progress=False),
    "feature maps": _maps,
    "sensitivity": _sensitivity,
    "search": _search,
    "observe": lambda m: ow.observe(m, [X]),
    "quantize": lambda m: ow.quantize(m, [X], tolerance=9, evaluate=_score),
    "compact": lambda m: ow.compact(m, X, inputs=[X], evaluate=_score),
    "compile": lambda m: ow.compile(m, X),
    "export_onnx": _export,
    "count_macs": lambda m: count_macs(m, [X]),
}


@pytest.fixture(autouse=True)
def _forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    OUTPUTS.clear()
    KeepsAll.shared.clear()
    KeepsAll.last = None
    _grid.cache_clear()


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_leave_the_network_as_it_was(verb: str) -> None:
    model, seen = KeepsAll(), []
    # In training, with gradients and a hook that only observes.
    model.head(torch.ones(2, 8)).sum().backward()
    model.act.register_forward_hook(lambda *call: seen.append(call))
    before = _state(model, seen)
    VERBS[verb](model)
    after = _state(model, seen)
    assert [name for name in before if before[name] != after[name]] == []
    assert model.head.weight.grad is not None


def test_fusing_and_timing_leave_all_but_the_layers_as_it_was() -> None:
    model = KeepsAll()
    before = _state(model, [])
    fuse_norms_(model, X)
    assert _state(model, []) == before
    sparsify_(model, Plan({"conv": {"pattern": "random", "density": 0.5}}))
    before = _state(model, [])
    training_table(model, X)
    assert _state(model, []) == before


def test_recalibration_changes_statistics_only() -> None:
    model = KeepsAll()
    before = _state(model, [])
    prune.recalibrate_(model, [X])
    after = _state(model, [])
    assert [name for name in before if before[name] != after[name]] == ["tensors"]
    with torch.no_grad():
        mean = model.stem(X).mean((0, 2, 3))
    torch.testing.assert_close(model.norm.running_mean, mean)


@pytest.mark.parametrize("verb", ["compact", "compile", "quantize", "export_onnx", "feature maps"])
def test_symbols_of_torch_are_only_touched_by_one_thread(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch records what is done with a symbolic size in whatever any thread traces just then.
    original, outside = proxy_tensor.get_proxy_mode, []

    def asked() -> Any:
        if not _unchanged._ALONE._is_owned():  # type: ignore[attr-defined]
            outside.append(verb)
        return original()

    monkeypatch.setattr(proxy_tensor, "get_proxy_mode", asked)
    VERBS[verb](KeepsAll().eval())
    assert outside == []


class CountsRuns(nn.Module):
    """What it gives depends on how often it ran."""

    runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return x * self.runs


def test_networks_that_count_their_runs_are_still_refused() -> None:
    with pytest.raises(ow.VerificationError):
        ow.compile(CountsRuns(), X)
