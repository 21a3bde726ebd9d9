"""What the commands' tests share."""

from typing import Any

import pytest
from torch import nn

from openwork.train import loop
from openwork.train.fused_norms import fused_norms


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks whose batch norms were fused for their training."""
    found: list[nn.Module] = []

    def watched(model: nn.Module, example: Any) -> Any:
        found.append(model)
        return fused_norms(model, example)

    monkeypatch.setattr(loop, "fused_norms", watched)
    return found
