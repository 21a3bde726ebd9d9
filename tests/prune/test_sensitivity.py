"""Each layer cut alone, what is put back, and a stopped run (`sensitivity_file`)."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


def _live_share(model: nn.Module, share: float) -> float:
    """An error that grows with the zeroed weights of layer "a" only."""
    weight = model.get_parameter("a.weight")
    return 0.1 + (weight == 0).float().mean().item()


def test_each_layer_is_cut_alone_and_put_back(network: Build, example: torch.Tensor) -> None:
    model = network("plain")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = prune.sensitivity(
        model,
        _live_share,
        ratios=[0.5, 0.25],
        example=example,
        recalibrate=True,
        batches=[example],
        progress=False,
    )
    assert result.ratios == (0.25, 0.5)
    errors = {layer.layers: layer.errors for layer in result.layers}
    assert errors.pop(("a",)) == pytest.approx((0.35, 0.6))
    assert all(error == pytest.approx((0.1, 0.1)) for error in errors.values())
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_a_plan_cuts_each_layer_as_far_as_the_loss_allows(
    network: Build, example: torch.Tensor
) -> None:
    model = network("plain")
    result = prune.sensitivity(
        model, _live_share, ratios=[0.25, 0.5], example=example, progress=False
    )
    ratios = result.ratios_within(0.3)
    assert ratios["a"] == 0.25
    assert ratios["b"] == 0.5
    plan = ow.Plan.from_sensitivity(result, loss=0.3)
    assert plan.resolve(model)["a"].density == pytest.approx(0.75)
    assert plan == prune.by_criterion(model, ratio=ratios, example=example, progress=False)


def test_a_stopped_run_resumes_to_the_same_table(
    network: Build, example: torch.Tensor, tmp_path: Path
) -> None:
    calls = 0

    def stopping(model: nn.Module, share: float) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return _live_share(model, share)

    def run(out: Path | None) -> str:
        return str(
            prune.sensitivity(
                network("plain"), stopping, ratios=[0.5], example=example, out=out, progress=False
            )
        )

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    calls = 4
    resumed = run(tmp_path)
    left, calls = calls - 4, 4
    assert resumed == run(None)
    assert left == calls - 4 - 3


def test_a_folder_of_another_run_is_refused(
    network: Build, example: torch.Tensor, tmp_path: Path
) -> None:
    def run(criterion: str) -> None:
        prune.sensitivity(
            network("plain"),
            _live_share,
            ratios=[0.5],
            criterion=criterion,
            example=example,
            out=tmp_path,
            progress=False,
        )

    run("l1")
    with pytest.raises(ow.CheckpointError, match="criterion is 'l1' there, 'l2' here"):
        run("l2")


@pytest.mark.parametrize("ratios", [[], [0.0], [1.0], "half", 0.5])
def test_ratios_are_shares(network: Build, ratios: object) -> None:
    with pytest.raises(ow.ArgumentError, match="`ratios`="):
        prune.sensitivity(network("plain"), _live_share, ratios=ratios)  # type: ignore[arg-type]
