"""Batch normalisation over the global batch."""

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from openwork.train.sync_batchnorm import synced_batchnorm


def test_two_ranks_normalise_as_one(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    ranks = [start("batchnorm.py", rank, tmp_path / "meeting") for rank in range(2)]
    for process in ranks:
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0, printed
        assert f"{9 if importlib.util.find_spec('timm') is None else 10} cases agree" in printed


def test_the_classes_are_put_back_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(2)))
    before = [type(module) for module in model.modules()]
    during: list[type[nn.Module]] = []

    def interrupted() -> None:
        with synced_batchnorm(model, 2):
            during.extend(type(module) for module in model.modules())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    changed = [one is not two for one, two in zip(before, during, strict=True)]
    assert changed == [isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.modules()]
    assert [type(module) for module in model.modules()] == before


def test_one_process_needs_nothing() -> None:
    model = nn.BatchNorm2d(2)
    with synced_batchnorm(model, 1):
        assert type(model) is nn.BatchNorm2d
