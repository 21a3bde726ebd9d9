"""A compiled network as a file holds it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from openwork._machine import processor_name
from openwork.capture.call_form import CallForm
from openwork.engine.fallback import Fallback, TorchConv
from openwork.engine.runners import Choice, make_runner
from openwork.engine.snapshot import Snapshot, TunedOn, take_snapshot
from openwork.engine.torch_data import TorchDecoder
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.patterns import Pattern
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import Conv
from openwork.runtime.values import Value

X, Y, Z, LAST = (Value((2, 5, 6), name) for name in ("x", "y", "z", "last"))
TUNED_ON = TunedOn("a processor", "baseline", 3, "speed", 8)
LIVE = np.arange(1.0, 10, dtype=np.float32)


def _conv(layer: str, read: Value, written: Value) -> Conv:
    """9 of 36 taps are live."""
    window = (1, 1), (1, 1), (1, 1)
    return Conv(
        [read], written, layer, (5, 6), (2, 2, 3, 3), *window, 1, np.arange(0, 36, 4), LIVE, None
    )


def _take(target: Callable[..., Any]) -> tuple[Snapshot, TorchConv]:
    """A layer on a kernel, one that torch runs, and an operator; and what runs the second."""
    packed, dense = _conv("packed", X, Y), _conv("dense", Y, Z)
    isa = _C.chosen_isa()
    name = candidates(packed.problem(), isa)[0].name
    layer, runner = make_runner(packed, name, isa), make_runner(dense, "torch", isa)
    assert layer is not None
    assert isinstance(runner, TorchConv)
    graph = Graph([X], [LAST, Y, 3], [packed, dense, Fallback([Z], LAST, target, (Z,), {}, "")])
    choices = {packed: Choice(name), dense: Choice("torch", without_torch="f32-conv-taps")}
    nesting, form = {"a": (0, [1]), "b": 2}, CallForm.of_tensors(1)
    runners = {packed: layer, dense: runner}
    return take_snapshot(graph, choices, runners, nesting, form, TUNED_ON), runner


def test_this_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    here = TunedOn.here("avx2", "memory", 16)
    assert here == TunedOn(processor_name(), "avx2", 5, "memory", 16)


def test_a_snapshot_is_plain_data_and_weights() -> None:
    snapshot, runner = _take(torch.ops.aten.gelu.default)
    assert (snapshot.tuned_on, snapshot.refusal) == (TUNED_ON, None)
    network = json.loads(json.dumps(snapshot.network))
    parts = {"inputs", "nodes", "kernels", "without_torch", "results", "nesting", "call", "values"}
    assert set(network) == parts
    assert [node["kind"] for node in network["nodes"]] == ["Conv", "Conv", "Island"]
    assert network["kernels"][0].startswith("f32-conv")
    assert network["kernels"][1:] == ["torch"]
    assert network["without_torch"] == [network["kernels"][0], "f32-conv-taps"]
    decoder = TorchDecoder(snapshot.tensors, network["values"])
    assert decoder.decode(network["nesting"]) == {"a": (0, [1]), "b": 2}
    last, y, three = decoder.decode(network["results"])
    assert (last.name, y.name, three) == ("last", "y", 3)
    assert [value.name for value in decoder.decode(network["inputs"])] == ["x"]
    packed, dense, _ = network["nodes"]
    pattern = decoder.decode(packed["positions"])
    assert isinstance(pattern, Pattern)
    assert pattern.positions.tolist() == list(range(0, 36, 4))
    np.testing.assert_array_equal(decoder.decode(packed["weight"]), LIVE)
    assert decoder.decode(dense["positions"]) is None
    weight = decoder.decode(dense["weight"])
    np.testing.assert_array_equal(weight, runner.weight.numpy())
    # Not a second copy in memory.
    assert np.shares_memory(weight, runner.weight.numpy())


def test_what_a_file_cannot_hold_is_the_refusal() -> None:
    snapshot, _ = _take(print)
    assert snapshot.tuned_on == TUNED_ON
    assert (snapshot.network, snapshot.tensors) == ({}, {})
    assert snapshot.refusal is not None
    assert "the function" in snapshot.refusal
