"""The benchmark measures what it says and explains itself."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from parts import known
from PIL import Image
from run_folders import COLUMNS, bench
from torch import nn

from openwork.nn import Plan, Table, sparsify_
from openwork.report import Benchmark, Latency, benchmark
from openwork.report.rate import best_rate

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")


def test_a_network_is_measured_by_layer_and_whole(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(1024, 4)
    )
    sparsify_(model, Plan({"2": {"pattern": "random", "density": 0.25}}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = benchmark(model, torch.randn(2, 3, 12, 12), passes=5)
    assert result.layers.column("layer") == ["0", "2", "4"]
    assert result.layers.column("density") == [1, 0.25, 1]
    assert result.batch == 2
    assert result.difference < 1e-4
    rows = result.table().rows
    assert [row[0] for row in rows] == ["dense, torch", "dense, compiled", "as it is, compiled"]
    assert rows[0][4] == 1
    assert known(result.macs) < known(result.dense_macs)
    assert result.model.layers is result.layers
    assert rows[2][4] == pytest.approx(known(result.dense).median / result.compiled.median)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    result.picture(tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.format == "PNG"
    # What a page about the run reads.
    result.to_json(tmp_path / "bench.json")
    held = json.loads((tmp_path / "bench.json").read_text())
    assert held.keys() == bench().keys()
    assert held["networks"][0].keys() == bench()["networks"][0].keys()
    assert held["layers"]["columns"] == COLUMNS
    assert [step[0] for step in held["steps"] if step[1] in result.layers.column("kernel")] == [
        "0", "2", "4"
    ]  # fmt: skip


# Nothing here asks for it.
_MODEL: Any = None


def _made(rows: tuple[tuple, ...], milliseconds: float) -> Benchmark:
    columns = ("layer", "weight", "map", "density", "kernel", "ms", "torch ms", "ratio")
    latency = Latency(milliseconds / 1e3, 0.001, 0.002, 5)
    dense = Latency(0.01, 0.01, 0.01, 5)
    return Benchmark(
        Table(columns, rows), dense, dense, latency, 1, 1, 0.0, 10**6, 10**7, 1e9, _MODEL
    )


def test_rates_count_live_weights_and_dense_ones() -> None:
    # A million live multiply-adds in 2 ms, of 10 million dense ones, where a billion is best.
    rows = _made((), 2.0).table().rows
    assert rows[2][5:] == pytest.approx((1.0, 10.0, 50.0))
    # The dense network takes 10 ms.
    assert rows[0][5:] == pytest.approx((2.0, 2.0, 100.0))


def test_the_best_rate_is_that_of_a_matrix_product() -> None:
    assert best_rate(size=64, turns=2) > 1e6


def test_it_says_what_takes_the_time() -> None:
    dense = ("stem", "", "", 1.0, "torch", 4.0, 4.0, 1.0)
    poor = ("slow", "", "", 0.1, "k", 3.0, 9.0, 3.0)
    good = ("fast", "", "", 0.1, "k", 1.0, 9.0, 9.0)
    text = _made((dense, poor, good), 8.0).why()
    assert "stem (50%), slow (38%), fast (12%)" in text
    assert "50% of the layers' time is spent in dense layers" in text
    assert "38% is spent in sparse layers" in text
    assert "outside the layers" not in text
    assert "50% of the time is outside the layers" in _made((good,), 2.0).why()


def test_it_says_why_the_whole_is_not_the_sum() -> None:
    good = ("fast", "", "", 0.1, "k", 1.0, 9.0, 9.0)
    steps = (("fast", "k", 0.0012), ("pool", "max_pool", 0.0003), ("sort", "fallback", 0.0002))
    text = replace(_made((good,), 2.0), steps=steps).why()
    assert "The layers sum up to 1.00 ms" in text
    assert "within a call they take 1.20 ms" in text
    assert "0.30 ms for pooling" in text
    assert "0.20 ms for operators left to torch" in text
    assert "0.30 ms between the steps" in text
