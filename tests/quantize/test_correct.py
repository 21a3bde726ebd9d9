"""`correct_`: after it the mean error of each channel is gone; without, biases stay."""

import pytest
import torch
from residual import residual

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.correct import correct_
from openwork.quantize.emit import emit
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.net import net_of
from openwork.quantize.scheme import scheme_of


@torch.no_grad()
@pytest.mark.parametrize("biases", [True, False])
def test_mean_errors(biases: bool) -> None:
    model, images = residual()
    net = net_of(capture(model, call_of(model, images)))
    fold_batch_norms_(net)
    scheme = scheme_of(net)
    # Coarse and lopsided on purpose.
    narrow, origin = emit(net, scheme, dict.fromkeys(scheme.values, (0.11, 30)))
    before = {name: tensor.clone() for name, tensor in narrow.tensors.items()}
    left = correct_(net, narrow, origin, [images], biases)
    changed = {n for n, tensor in narrow.tensors.items() if not torch.equal(tensor, before[n])}
    names = {"first.int8_bias", "second.int8_bias", "last.int8_bias"}
    assert changed == (names if biases else set())
    assert set(left) == set(scheme.layers)
    assert all(3 < each < 60 for each in left.values())
    error = (narrow.outputs([images])[0] - net.outputs([images])[0]).mean(0).abs().max()
    assert bool(error < 1e-5) is biases
