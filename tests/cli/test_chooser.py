"""How `openwork prune` chooses: by a search or a criterion, and what of it is kept."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from openwork.cli.chooser import Chooser
from openwork.errors import ArgumentError
from openwork.prune import Stage


def _chooser(criterion: str, out: Path) -> Chooser:
    batches: list[Any] = [(torch.randn(4, 1, 6, 6), torch.arange(4) % 3)]
    return Chooser(
        evaluate=lambda model, share: 0.0,
        criterion=criterion,
        candidates=2,
        layers=None,
        batches=batches,
        seed=0,
        out=out,
        data={"name": "toy"},
    )


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def test_settings_are_what_decides_the_choice(tmp_path: Path) -> None:
    fixed = {"layers": None, "seed": 0, "data": {"name": "toy"}}
    assert _chooser("l1", tmp_path).settings == fixed | {"criterion": "l1"}
    search = _chooser("search", tmp_path).settings
    assert search == fixed | {"criterion": "search", "candidates": 2}


@pytest.mark.parametrize("criterion", ["l1", "search"])
def test_half_of_the_kernels_are_left(criterion: str, tmp_path: Path) -> None:
    plan = _chooser(criterion, tmp_path)(_model(), Stage("kernel", 0.5), 0)
    cut = {name: p.density for name, p in plan.resolve(_model()).items() if p.density < 1}
    assert cut == {"2": 0.5}
    assert (tmp_path / "search-1.jsonl").exists() is (criterion == "search")


def test_a_later_cut_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    chooser = _chooser("l1", tmp_path)
    chooser.check(_model(), [Stage("kernel", 0.5)])
    with pytest.raises(ArgumentError, match="`"):
        chooser.check(nn.Sequential(nn.ReLU()), [Stage("kernel", 0.5)])


def test_a_search_is_handed_to_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("openwork.prune.search", lambda *_, **options: asked.update(options) or {})
    chooser = dataclasses.replace(_chooser("search", tmp_path), ray="auto")
    chooser(_model(), Stage("kernel", 0.5), 0)
    assert asked["ray"] == "auto"
    # Where it runs does not determine what it finds: a search resumes on another cluster.
    assert "ray" not in chooser.settings
