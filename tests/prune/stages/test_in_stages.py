"""Cut, retrain, cut again: what is left at the end, and resuming after a stop."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_search import toy_error, toy_network

import openwork as ow
from openwork import prune
from openwork.prune import Stage

EXAMPLE = torch.zeros(1, 3, 5, 5)
STAGES = (Stage("feature_map", 0.5), Stage("kernel", 0.5))


def choose(model: nn.Module, stage: Stage, index: int) -> ow.Plan:
    return prune.by_criterion(
        model,
        granularity=stage.granularity,
        ratio=stage.ratio,
        of=stage.of,
        example=EXAMPLE,
        progress=False,
    )


class Retrain:
    """Two steps towards the outputs of the uncut network; records its calls."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[int] = []
        self._fail_at = fail_at

    def __call__(self, model: nn.Module, index: int) -> None:
        self.calls.append(index)
        if index == self._fail_at:
            raise KeyboardInterrupt
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        inputs = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(index))
        for _ in range(2):
            loss = (model(inputs) - toy_network()(inputs).detach()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _run(model: nn.Module, retrain: Retrain, **more: object) -> tuple[prune.StageResult, ...]:
    settings = {"stages": STAGES, "progress": False, **more}
    return prune.in_stages_(model, choose, retrain, toy_error, **settings)  # type: ignore[arg-type]


def test_both_cuts_are_made_and_last() -> None:
    model, retrain = toy_network(), Retrain()
    results = _run(model, retrain)
    assert retrain.calls == [0, 1]
    live = {n: m.pattern for n, m in model.named_modules() if isinstance(m, ow.SparseConv2d)}
    # 4 of 8 maps of both layers, then half of the kernels that are left.
    assert {n: len(p.connections) for n, p in live.items()} == {"1": 12, "2": 8, "3": 16}
    assert results[-1].parameters == sum(p.numel() for p in model.parameters())
    for result in results:
        assert result.recalibrated is None
        assert result.retrained < result.cut
    assert results[-1].retrained == pytest.approx(toy_error(model, 1.0))


def test_a_gradual_schedule_reaches_its_ratio() -> None:
    model, retrain = toy_network(), Retrain()
    _run(model, retrain, stages=prune.in_steps("kernel", 0.75, steps=3))
    assert retrain.calls == [0, 1, 2]
    live = {n: m.pattern for n, m in model.named_modules() if isinstance(m, ow.SparseConv2d)}
    assert {n: len(p.connections) for n, p in live.items()} == {"1": 12, "2": 16}


def test_recalibration_is_measured() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1)
    )
    inputs = torch.randn(64, 3, 5, 5) + 2
    prune.recalibrate_(model.eval(), [inputs])
    whole = model(inputs).detach()

    def evaluate(model: nn.Module, share: float) -> float:
        with torch.no_grad():
            return float((model.eval()(inputs) - whole).square().mean())

    (result,) = prune.in_stages_(
        model,
        choose,
        lambda model, index: None,
        evaluate,
        stages=[Stage("kernel", 0.5)],
        batches=[inputs],
        progress=False,
    )
    assert result.recalibrated is not None
    assert result.recalibrated < result.cut
    assert result.retrained == result.recalibrated


def test_a_stopped_run_resumes_from_its_last_stage(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(toy_network(), Retrain(fail_at=1), out=tmp_path / "run")
    model, retrain = toy_network(), Retrain()
    results = _run(model, retrain, out=tmp_path / "run")
    assert retrain.calls == [1]
    other = toy_network()
    assert results == _run(other, Retrain())
    for name, tensor in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    again = Retrain()
    assert _run(toy_network(), again, out=tmp_path / "run") == results
    assert again.calls == []


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    _run(toy_network(), Retrain(), out=tmp_path / "run")
    with pytest.raises(
        ow.CheckpointError, match=r"stage-1.safetensors of another run: stage 1 differs: ratio is"
    ):
        _run(toy_network(), Retrain(), out=tmp_path / "run", stages=[Stage("feature_map", 0.25)])
    other = toy_network()
    with torch.no_grad():
        other.get_parameter("3.bias").add_(1)
    with pytest.raises(ow.CheckpointError, match="the network's weights differ"):
        _run(other, Retrain(), out=tmp_path / "run")


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    settings = {"criterion": "l1", "layers": ("1", "2")}
    first = _run(toy_network(), Retrain(), out=tmp_path, identity=settings)
    assert _run(toy_network(), Retrain(), out=tmp_path, identity=settings) == first
    for other in (settings | {"criterion": "l2"}, None):
        with pytest.raises(ow.CheckpointError, match="criterion is 'l1' there"):
            _run(toy_network(), Retrain(), out=tmp_path, identity=other)


def test_a_later_stage_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    first, *_ = _run(toy_network(), Retrain(), out=tmp_path, stages=STAGES[:1])
    _as_version_0_1_0(tmp_path / "stage-1.safetensors", STAGES)
    model, retrain = toy_network(), Retrain()
    results = _run(model, retrain, out=tmp_path, stages=[STAGES[0], Stage("kernel", 0.25)])
    assert retrain.calls == [1]
    assert results[0] == first
    assert results[1].retrained == pytest.approx(toy_error(model, 1.0))


def _as_version_0_1_0(path: Path, stages: Sequence[Stage]) -> None:
    """Rewrite the file so that it names all stages of its run."""
    metrics = ow.info(path).metrics
    metrics["run"]["stages"] = [asdict(stage) for stage in stages]
    ow.save(ow.load(path, build=toy_network), path, metrics=metrics)


@pytest.mark.parametrize("stages", [(), ["kernel"], [("kernel", 0.5)]])
def test_what_is_not_a_stage_is_refused(stages: Sequence[object]) -> None:
    with pytest.raises(ow.ArgumentError, match=r"`stages`=.*must hold stages, at least one"):
        _run(toy_network(), Retrain(), stages=stages)


def test_a_run_that_cuts_nothing_is_resumed_too(tmp_path: Path) -> None:
    whole, again = toy_network(), toy_network()
    stages = [Stage("kernel", 0.0)]
    results = _run(whole, Retrain(), stages=stages, out=tmp_path)
    assert _run(again, Retrain(), stages=stages, out=tmp_path) == results
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_the_errors_of_each_stage_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _run(toy_network(), Retrain(), progress=True)
    printed = capsys.readouterr().err
    assert "feature_map" in printed
    assert "retrained" in printed
