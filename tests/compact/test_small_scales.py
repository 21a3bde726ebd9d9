"""Only scales below the threshold, only those of batch norms, and what a threshold would give."""

import pytest
import torch
from torch import nn

from openwork.compact import compact
from openwork.compact.small_scales import zero_small_scales_


def test_only_scales_below_the_threshold_become_zero() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4)
    )
    nn.init.constant_(model.get_parameter("3.weight"), 1e-5)
    with torch.no_grad():
        model.get_parameter("1.weight").copy_(torch.tensor([1e-4, -1e-4, 1e-3, -0.5]))
        model.get_parameter("1.bias").fill_(1e-5)
    conv = model.get_parameter("0.weight").detach().clone()
    assert zero_small_scales_(model, 1e-3) is model
    torch.testing.assert_close(
        model.get_parameter("1.weight").detach(), torch.tensor([0, 0, 1e-3, -0.5])
    )
    assert torch.equal(model.get_parameter("1.bias"), torch.full((4,), 1e-5))
    assert torch.equal(model.get_parameter("3.weight"), torch.full((4,), 1e-5))
    assert torch.equal(model.get_parameter("0.weight"), conv)


@pytest.mark.parametrize(("scale", "below"), [(1e-4, "0.001"), (5e-3, "0.01"), (0.1, "")])
def test_the_report_says_what_a_threshold_would_remove(scale: float, below: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)
    )
    nn.init.constant_(model.get_parameter("1.weight")[:2], scale)
    example = torch.rand(2, 3, 6, 6)
    report = compact(model, example)[1]
    assert report.macs is not None
    assert report.macs[0] == report.macs[1]
    if not below:
        assert "nothing is exactly dead, and no batch norm has scales near zero" in str(report)
        return
    macs = compact(model, example, gamma_below=float(below))[1].macs
    assert macs is not None
    share = f"gamma_below={below} would remove about {1 - macs[1] / macs[0]:.1%} of the mult"
    assert share in str(report)
    assert "exactly dead" not in str(compact(model, example, gamma_below=float(below))[1])
    nn.init.zeros_(model.get_parameter("1.weight")[4:6])
    assert "exactly dead" not in str(compact(model, example)[1])
