"""A compiled network refuses to be traced, wherever it stands; nothing is recorded silently."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from openwork.engine import CompiledModel
from openwork.engine.tracing import refuse_tracing
from openwork.errors import CaptureError

X = torch.randn(2, 3, 6, 6)
WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "torch.jit.trace": lambda model: torch.jit.trace(model, X),
    "ONNX": lambda model: torch.onnx.export(model, (X,), os.devnull, dynamo=False),
    "torch.jit.script": torch.jit.script,
    "torch.export": lambda model: torch.export.export(model, (X,), strict=False),
    "torch.fx.symbolic_trace": torch.fx.symbolic_trace,
    "torch.vmap": lambda model: torch.vmap(model)(X[None]),
    "torch.func": lambda model: torch.func.grad(lambda x: model(x).sum())(X),
    "make_fx": lambda model: make_fx(model)(X),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_way_out_is_named(way: str, inside: bool, build: Callable[..., CompiledModel]) -> None:
    compiled = build(nn.Conv2d(3, 4, 3), X)
    model = nn.Sequential(compiled, nn.ReLU()) if inside else compiled
    with pytest.raises(CaptureError, match=f"{way}.*; trace the network that it was compiled from"):
        WAYS[way](model)
    assert torch.equal(model(X), compiled(X).relu() if inside else compiled(X))


def test_tensors_that_only_record_are_refused_and_plain_subclasses_are_not() -> None:
    class Plain(torch.Tensor):
        pass

    refuse_tracing((X, X.as_subclass(Plain), 3), {"y": nn.Parameter(X)})
    with torch._subclasses.FakeTensorMode():
        fake = torch.zeros(2)
    with pytest.raises(CaptureError, match="makes a FakeTensor of its inputs"):
        refuse_tracing((), {"y": fake})
