"""`quantize`: int8 layers, zeros kept, the score checked."""

import copy

import pytest
import torch
from torch import nn

from openwork.errors import VerificationError
from openwork.nn import Plan, sparsify_
from openwork.quantize import quantize


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.last(torch.relu(x + self.second(x)).mean((2, 3)))


def _given() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = _Residual().eval()
    nn.init.uniform_(model.norm.running_mean)
    nn.init.uniform_(model.norm.running_var, 0.5, 2)
    return model, torch.randn(64, 3, 8, 8)


@pytest.mark.parametrize("calibrate", ["minmax", "percentile", "mse"])
def test_outputs_are_close_and_the_original_is_unchanged(calibrate: str) -> None:
    model, images = _given()
    before = copy.deepcopy(model.state_dict())
    small, report = quantize(model, [images], calibrate=calibrate, tolerance=0.2)
    expected, found = model(images), small(images)
    assert (found - expected).norm() / expected.norm() < 0.05
    assert report.layers.column("weights") == ["int8"] * 3
    assert all(float(x) > 20 for x in report.layers.column("signal / error, dB"))
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    buffers = dict(small.named_buffers())
    assert buffers["second.int8_weight"].dtype == torch.int8
    assert buffers["second.int8_weight"].abs().amax((1, 2, 3)).tolist() == [127] * 16


def test_zeros_of_sparse_layers_stay_zero() -> None:
    model, images = _given()
    model = sparsify_(model, Plan({"second": {"pattern": "random", "density": 0.25}}))
    small, _ = quantize(model, [images], tolerance=1)
    weight = dict(small.named_buffers())["second.int8_weight"]
    assert weight[model.get_submodule("second").to_dense().weight == 0].eq(0).all()


def test_refuses_a_worse_score() -> None:
    model, images = _given()
    with pytest.raises(VerificationError, match=r"`tolerance`=0\.1"):
        quantize(model, [images], evaluate=lambda m: float(m is model), tolerance=0.1)
