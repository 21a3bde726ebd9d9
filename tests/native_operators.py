"""Operators that must run on the kernels, in a program and from a file without torch."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lowering import Do
from torch import nn

import openwork as ow
from openwork import runtime
from openwork.engine import CompiledModel

Build = Callable[..., CompiledModel]


def check_native(
    body: Callable[[torch.Tensor], torch.Tensor],
    build: Build,
    tmp_path: Path,
    shape: tuple[int, ...] = (2, 4, 6, 8),
    tolerance: float = 2e-6,
) -> None:
    """Compare `body` between two layers with torch in float64, and with what its file gives."""
    model = Do(body, shape[1]).eval()
    if isinstance(body, nn.Module):
        model.body = body
    example = 2 * torch.randn(shape)
    compiled = build(model, example)
    assert compiled.layers.notes == ()
    with torch.no_grad():
        found = compiled(example)
        exact = copy.deepcopy(model).double()(example.double())
    assert found.shape == exact.shape
    assert (found - exact).abs().max() <= tolerance * exact.abs().max()
    ow.save(compiled, tmp_path / "file.safetensors")
    loaded = runtime.load(tmp_path / "file.safetensors")
    again = loaded(example.numpy())
    if "torch" in compiled.layers.column("kernel"):
        # Without torch another kernel runs it.
        np.testing.assert_allclose(again, found.numpy(), rtol=1e-4, atol=1e-4)
    else:
        assert np.array_equal(again, found.numpy())
