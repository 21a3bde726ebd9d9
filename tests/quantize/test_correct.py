"""`correct_`: after it the mean error of each channel is gone; without, biases stay."""

import pytest
import torch
from residual import residual
from torch import fx

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.correct import correct_, systematic
from openwork.quantize.emit import emit
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.net import Net, net_of
from openwork.quantize.scheme import scheme_of


def _lopsided() -> tuple[torch.Tensor, Net, Net, dict[fx.Node, fx.Node]]:
    """Images, a network, its int8 form with scales that are coarse on purpose, and its layers."""
    model, images = residual()
    net = net_of(capture(model, call_of(model, images)))
    fold_batch_norms_(net)
    scheme = scheme_of(net)
    return images, net, *emit(net, scheme, dict.fromkeys(scheme.values, (0.11, 30)))


@torch.no_grad()
@pytest.mark.parametrize("biases", [True, False])
def test_mean_errors(biases: bool) -> None:
    images, net, narrow, origin = _lopsided()
    before = {name: tensor.clone() for name, tensor in narrow.tensors.items()}
    left = correct_(net, narrow, origin, [[images[:3]], [images[3:]]], biases)
    changed = {n for n, tensor in narrow.tensors.items() if not torch.equal(tensor, before[n])}
    names = {"first.int8_bias", "second.int8_bias", "last.int8_bias"}
    assert changed == (names if biases else set())
    assert set(left) == set(origin.values())
    assert all(3 < each < 60 for each in left.values())
    error = (narrow.outputs([images])[0] - net.outputs([images])[0]).mean(0).abs().max()
    assert bool(error < 2e-3) is biases


def test_a_mean_is_shrunk_by_what_chance_would_give() -> None:
    # By hand: (mean, variance of the mean) = (2, 1), (0, 1), (-1, 0), (0, 0), (0.5, 1).
    errors = torch.tensor([[1.0, -1, -1, 0, -0.5], [3.0, 1, -1, 0, 1.5]])
    assert systematic(errors).tolist() == [1.5, 0, -1, 0, 0]
    assert systematic(errors[:1]).tolist() == [0] * 5


@torch.no_grad()
def test_what_layers_of_one_image_lack_is_not_corrected() -> None:
    images, net, narrow, origin = _lopsided()
    before = {name: tensor.clone() for name, tensor in narrow.tensors.items()}
    correct_(net, narrow, origin, [[images[:1]]], True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in narrow.tensors.items())
