"""Batch normalisation after a cut has the statistics of the network that is left."""

import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune


def test_statistics_are_those_of_the_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).eval()
    batches = [(torch.randn(20, 2, 4, 4), None) for _ in range(3)]
    assert prune.recalibrate_(model, batches) is model
    maps = torch.stack([model[0](images) for images, _ in batches]).transpose(0, 2).flatten(1)
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, maps.mean(1))
    # The mean of the variances of the batches.
    torch.testing.assert_close(norm.running_var, maps.var(1), rtol=0.05, atol=0)
    assert norm.momentum == 0.1


def test_modes_are_restored() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    model[1].eval()
    prune.recalibrate_(model, [torch.randn(4, 2, 3, 3)])
    assert model.training
    assert not model[1].training


def test_no_batches_are_refused_before_anything_is_lost() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.fill_(7)
    with pytest.raises(ow.ArgumentError, match="`batches` is empty"):
        prune.recalibrate_(model, [])
    assert (norm.running_mean == 7).all()


def test_a_failure_half_way_leaves_the_statistics_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError):
        prune.recalibrate_(model, [torch.randn(4, 2, 3, 3), torch.randn(4, 5, 3, 3)])
    assert getattr(model[1], "momentum") == 0.1  # noqa: B009
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_statistics_that_are_not_finite_are_refused(bad: float) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = [torch.randn(4, 2, 3, 3), torch.full((4, 2, 3, 3), bad)]
    with pytest.raises(ow.ArgumentError, match="statistics that are NaN or infinite"):
        prune.recalibrate_(model, batches)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_networks_of_several_inputs() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1, momentum=0.3)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.norm(a + b)

    model, ones = Sum(), torch.ones(2, 1, 3, 3)
    prune.recalibrate_(model, [(ones, ones), ((ones, 3 * ones), None), (ones[:0], ones[:0])])
    assert model.norm.running_mean is not None
    assert model.norm.running_mean.tolist() == [3.0]
    assert model.norm.momentum == 0.3
    with pytest.raises(ow.ArgumentError, match="`model` is a str"):
        prune.recalibrate_("model", [ones])  # type: ignore[arg-type]
