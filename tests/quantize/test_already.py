"""Networks that are quantised already keep their scales, from QDQ and from QAT."""

from typing import Any

import pytest
import torch
from residual import residual
from torch import nn
from torch.ao.quantization import FakeQuantize, MovingAveragePerChannelMinMaxObserver

from openwork.capture.qdq import DEQUANTIZE, QUANTIZE
from openwork.quantize import quantize
from openwork.quantize.already import FixedRange, fix_ranges_

_WEIGHTS = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, quant_min=-127, quant_max=127,
    dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=0,
)  # fmt: skip


class _Trained(nn.Module):
    """A layer as quantisation-aware training has it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.conv = FakeQuantize(), nn.Conv2d(3, 4, 3)
        self.weight, self.after = _WEIGHTS(), FakeQuantize()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, weight = self.before(x), self.weight(self.conv.weight)
        x = torch.relu(nn.functional.conv2d(x, weight, self.conv.bias))
        return self.after(x).mean((2, 3))


@pytest.fixture
def trained() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model, images = _Trained(), torch.randn(32, 3, 8, 8)
    model(images)
    return model.eval().apply(torch.ao.quantization.disable_observer), images


def test_ranges_of_training_are_kept(trained: tuple[nn.Module, torch.Tensor]) -> None:
    model, images = trained
    small, report = quantize(model, [images])
    assert torch.allclose(small(images), model(images), atol=1e-5)
    assert report.layers.column("weights") == ["int8"]
    assert report.layers.notes[-1] == "quantised before, and kept as is"
    narrow = [each for each in small.buffers() if each.dtype == torch.int8]
    assert [tuple(each.shape) for each in narrow] == [(4, 3, 3, 3)]
    assert narrow[0].abs().amax((1, 2, 3)).tolist() == [127] * 4


def test_ranges_do_not_follow_the_batches_although_observers_are_on(
    trained: tuple[nn.Module, torch.Tensor],
) -> None:
    model, images = trained
    wanted = model(images)
    model.apply(torch.ao.quantization.enable_observer)
    small, _ = quantize(model, [100 * images], evaluate=lambda _: 1.0)
    assert torch.allclose(small(images), wanted, atol=1e-5)


def test_each_module_of_training_is_replaced(trained: tuple[nn.Module, torch.Tensor]) -> None:
    model, images = trained
    expected = model(images)
    fixed = fix_ranges_(model)
    assert sum(isinstance(each, FixedRange) for each in fixed.modules()) == 3
    assert torch.allclose(fixed(images), expected, atol=1e-5)


class _Qdq(nn.Module):
    def __init__(self, inner: nn.Module, form: tuple[Any, ...]) -> None:
        super().__init__()
        self.inner, self.form = inner, form

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(DEQUANTIZE(QUANTIZE(x, *self.form), *self.form))


def test_a_quantised_network_stays_as_it_is() -> None:
    model, images = residual()
    small, _ = quantize(model, [images], tolerance=0.2)
    again, report = quantize(small, [images], tolerance=0)
    assert torch.equal(again(images), small(images))
    assert report.layers.column("weights") == ["int8"] * 3
    # A range of an activation alone does not make a network quantised.
    outer = _Qdq(model, (0.05, 128, 0, 255, torch.uint8))
    _, report = quantize(outer, [images], tolerance=0.2)
    assert all(float(each) > 15 for each in report.layers.column("signal / error, dB"))
