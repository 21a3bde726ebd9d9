"""Bisection: the largest ratio within the tolerance."""

from pathlib import Path

import pytest
import torch
from torch import nn
from toy_search import toy_network

import openwork as ow
from openwork import prune
from openwork.nn.layers import sparse_layers
from openwork.prune import Stage


def choose(model: nn.Module, stage: Stage, index: int) -> ow.Plan:
    return prune.by_criterion(model, ratio=stage.ratio, layers="2", progress=False)


def share_removed(model: nn.Module, share: float) -> float:
    """An error equal to the ratio, so that the largest ratio is the tolerance."""
    layers = sparse_layers(model)
    return 1 - layers["2"].pattern.density if "2" in layers else 0.0


def _find(**more: object) -> prune.LargestRatio:
    settings = {"tolerance": 0.4, "highest": 0.96, "trials": 5, "progress": False, **more}
    retrain = settings.pop("retrain", lambda model, index: None)
    chosen = settings.pop("choose", choose)
    return prune.largest_ratio(toy_network(), chosen, retrain, share_removed, **settings)  # type: ignore[arg-type]


def test_the_interval_is_halved_each_time() -> None:
    result = _find()
    assert [trial.ratio for trial in result.trials] == pytest.approx([0.48, 0.24, 0.36, 0.42, 0.39])
    assert result.ratio == pytest.approx(0.39)
    assert result.error <= 0.4
    assert result.baseline == 0
    assert share_removed(result.model, 1.0) == result.error


def test_if_nothing_can_be_cut_the_original_is_returned() -> None:
    result = _find(tolerance=0.0, trials=2)
    assert result.ratio == 0
    assert not sparse_layers(result.model)
    assert torch.equal(
        result.model.get_parameter("2.weight"), toy_network().get_parameter("2.weight")
    )


def test_a_bisection_that_was_stopped_resumes(tmp_path: Path) -> None:
    calls: list[int] = []

    def stopping(model: nn.Module, index: int) -> None:
        calls.append(index)
        if calls == [0, 1, 2, 3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _find(retrain=stopping, out=tmp_path)
    result = _find(retrain=stopping, out=tmp_path)
    assert calls == [0, 1, 2, 3, 3, 4]
    assert result.ratio == pytest.approx(0.39)
    assert share_removed(result.model, 1.0) == result.error


def test_a_bisection_with_other_settings_is_refused(tmp_path: Path) -> None:
    _find(out=tmp_path, trials=1, identity={"criterion": "l1"})
    with pytest.raises(ow.CheckpointError, match="criterion is 'l1' there, 'l2' here"):
        _find(out=tmp_path, trials=1, identity={"criterion": "l2"})


def test_a_ratio_that_cannot_be_reached_is_too_high(capsys: pytest.CaptureFixture[str]) -> None:
    def few(model: nn.Module, stage: Stage, index: int) -> ow.Plan:
        if stage.ratio > 0.8:
            raise ow.ArgumentError("`ratio` must lie in [0, 0.8]")
        return choose(model, stage, index)

    result = _find(choose=few, tolerance=1.0, trials=4, progress=True)
    assert [trial.ratio for trial in result.trials] == pytest.approx([0.48, 0.72, 0.78])
    assert result.ratio == pytest.approx(0.78)
    assert "a ratio of 0.84 counts as too high: `ratio` must lie in [0, 0.8]" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_an_error_at_every_ratio_is_raised() -> None:
    def never(model: nn.Module, stage: Stage, index: int) -> ow.Plan:
        raise ow.ArgumentError("no such criterion")

    with pytest.raises(ow.ArgumentError, match="no such criterion"):
        _find(choose=never)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ow.ArgumentError, match=r"`highest`=1.0 must be a number in \(0, 1\)"):
        _find(highest=1.0)
    with pytest.raises(ow.ArgumentError, match="`highest`='1' must be a number"):
        _find(highest="1")
    with pytest.raises(ow.ArgumentError, match="`tolerance`=-1 must be a number of at least 0"):
        _find(tolerance=-1)
    with pytest.raises(ow.ArgumentError, match="`tolerance`='1' must be a number"):
        _find(tolerance="1")
    with pytest.raises(ow.ArgumentError, match="`granularity`='kernle'"):
        _find(granularity="kernle")
    with pytest.raises(ow.ArgumentError, match="`trials`=0"):
        _find(trials=0)
