"""Fixtures of `engine` and `runtime`: a separate cache, and kernels that are not measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from openwork.engine import CompiledModel, compile
from openwork.kernels import native

# In the order in which they are tried for a layer.
FIRST = ("*winograd2*", "*-spmm-*", "*-direct-*", "*-taps-*")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if native.reason_missing is not None:
        pytest.skip("the compiled kernels are not there")
    torch.manual_seed(0)
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path))


@pytest.fixture
def build() -> Callable[..., CompiledModel]:
    """Compile without measuring: the first kernel of each family that can run a layer."""

    def run(
        model: nn.Module,
        example: torch.Tensor | Sequence[torch.Tensor],
        kernels: str | Sequence[str] = FIRST,
        tolerance: float = 1e-5,
    ) -> CompiledModel:
        return compile(model, example, kernels={"*": kernels}, tolerance=tolerance)

    return run
