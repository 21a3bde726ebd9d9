"""Weights of other programs, loaded without unpickling."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import openwork as ow


def _net(outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, outputs))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
@pytest.mark.parametrize("kind", ["safetensors", "torch", "nested"])
def test_weights_arrive(tmp_path: Path, prefix: str, kind: str) -> None:
    model, twin = _net(), _net()
    state = {prefix + name: value for name, value in model.state_dict().items()}
    if kind == "safetensors":
        save_file(state, tmp_path / "w")
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "nested" else state, tmp_path / "w")
    ow.load_weights_(twin, tmp_path / "w")
    assert all(torch.equal(a, b) for a, b in zip(*map(_values, (model, twin)), strict=True))


def test_counters_of_batch_norms_may_be_missing(tmp_path: Path) -> None:
    """As in files from before torch counted batches, which torch itself loads."""
    model, twin = _net(), _net()
    state = {n: v for n, v in model.state_dict().items() if "num_batches" not in n}
    save_file(state, tmp_path / "w")
    ow.load_weights_(twin, tmp_path / "w")
    assert all(torch.equal(a, b) for a, b in zip(*map(_values, (model, twin)), strict=True))


def _values(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def test_what_does_not_fit_is_named_and_nothing_changes(tmp_path: Path) -> None:
    torch.save(_net(3).state_dict(), tmp_path / "w")
    twin = _net()
    before = [value.clone() for value in _values(twin)]
    with pytest.raises(ow.CheckpointError, match=r"'3.weight' has shape \(3, 8\) in the file"):
        ow.load_weights_(twin, tmp_path / "w")
    assert all(torch.equal(a, b) for a, b in zip(before, _values(twin), strict=True))
    torch.save(_net(), tmp_path / "objects")
    with pytest.raises(ow.CheckpointError, match="holds Python objects besides tensors"):
        ow.load_weights_(twin, tmp_path / "objects")
