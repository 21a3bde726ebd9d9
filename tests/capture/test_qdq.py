"""torch's QDQ operators round halves to even and saturate, as kernels must."""

import torch

from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE


def test_rounding_and_saturation() -> None:
    x = torch.tensor([0.25, 0.75, -0.25, 1e9, -1e9, 1.0])
    found = QUANTIZE(x, 0.5, 10, 0, 255, torch.uint8)
    assert found.tolist() == [10, 12, 10, 255, 0, 12]
    back = DEQUANTIZE(found, 0.5, 10, 0, 255, torch.uint8)
    assert back.tolist() == [0, 1, 0, 122.5, -5, 1]


def test_each_channel_has_its_scale() -> None:
    weight = torch.tensor([[1, -2], [3, 4]], dtype=torch.int8)
    scales, zeros = torch.tensor([0.5, 2.0]), torch.tensor([0, 1])
    found = DEQUANTIZE_CHANNELS(weight, scales, zeros, 0, -127, 127, torch.int8)
    assert found.tolist() == [[0.5, -1], [4, 6]]
