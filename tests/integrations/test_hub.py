"""`save_pretrained` and `from_pretrained` give the same network back, from a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.errors import ArgumentError
from openwork.integrations.hub import SparseModelHubMixin
from openwork.nn import Plan


class _Net(nn.Module, SparseModelHubMixin):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * 16, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_a_sparse_network_comes_back_from_a_folder(tmp_path: Path, plan: Plan) -> None:
    net = ow.sparsify_(_Net(width=8), plan)
    net.save_pretrained(tmp_path / "net")
    assert json.loads((tmp_path / "net" / "config.json").read_text()) == {"width": 8}
    back = _Net.from_pretrained(str(tmp_path / "net"))
    assert ow.Plan.of(back) == ow.Plan.of(net)
    assert torch.equal(back(X), net(X))


def test_a_dense_and_a_compacted_network_come_back_too(tmp_path: Path) -> None:
    net: Any = _Net(width=8)
    with torch.no_grad():
        net.body[0].weight[:3] = 0
        net.body[0].bias[:3] = 0
    small, _ = ow.compact(net, X)
    models: dict[str, Any] = {"dense": net, "small": small}
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        back = _Net.from_pretrained(tmp_path / name)
        assert torch.equal(back(X), model(X))
    cut: Any = _Net.from_pretrained(tmp_path / "small")
    assert cut.body[0].out_channels == 5


def test_only_modules_can_be_saved(tmp_path: Path) -> None:
    class Plain(SparseModelHubMixin):
        pass

    with pytest.raises(ArgumentError, match=r"Plain must be an nn\.Module"):
        Plain().save_pretrained(tmp_path)
