"""`QuantizedNetwork`: an ordinary module without parameters, for any batch and image size."""

import copy
import inspect

import torch
from residual import residual

from openwork.quantize import quantize


def test_any_batch_and_image_size() -> None:
    model, images = residual()
    small, _ = quantize(model, [images], tolerance=0.2)
    for shape in ((1, 3, 8, 8), (5, 3, 16, 12)):
        x = torch.randn(shape)
        expected, found = model(x), small(x)
        assert found.shape == expected.shape
        assert (found - expected).norm() / expected.norm() < 0.1
    assert "any image size; 3 layers with int8 weights" in repr(small)


def test_copies_compute_the_same_and_nothing_trains() -> None:
    model, images = residual()
    small, _ = quantize(model, [images], tolerance=0.2)
    assert list(small.parameters()) == []
    assert not small(images).requires_grad
    assert torch.equal(copy.deepcopy(small)(images), small(images))
    assert inspect.signature(small) == inspect.signature(model.forward)
    assert torch.equal(small(x=images), small(images))
    assert small.shapes == {"x": (3, 8, 8)}
