"""Weights are zero during a trial, and the same bits as before afterwards."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork.prune.search.masked import Masked
from openwork.prune.units.layers import cuttable_layers

Build = Callable[[str], nn.Module]


def test_a_trial_zeroes_what_the_mask_leaves_out(network: Build) -> None:
    model = network("plain")
    weight = model.get_parameter("a.weight")
    before = weight.detach().clone()
    masked = Masked(cuttable_layers(model))
    mask = np.ones((8, 8, 3, 3), dtype=bool)
    mask[2, 5] = False
    with masked.trial({"a": mask}):
        assert torch.equal(weight, before * torch.from_numpy(mask))
        assert torch.equal(
            model.get_parameter("b.weight"), network("plain").get_parameter("b.weight")
        )
    assert torch.equal(weight, before)


def test_a_sparse_layer_is_masked_in_its_own_layout() -> None:
    layer = ow.SparseConv2d(ow.patterns.random(4, 6, 3, 0.5))
    model = nn.Sequential(layer)
    dense_before = layer.to_dense().weight.detach().clone()
    mask = layer.pattern.taps.copy()
    mask[1] = False
    with Masked(cuttable_layers(model)).trial({"0": mask}):
        assert torch.equal(layer.to_dense().weight, dense_before * torch.from_numpy(mask))
        assert (layer.weight == 0).sum() == layer.pattern.taps[1].sum()
    assert torch.equal(layer.to_dense().weight, dense_before)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_within_restores_signs_and_denormals(error: type[BaseException]) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    weight = model.get_parameter("0.weight")
    with torch.no_grad():
        weight[0, 0], weight[0, 1] = -0.0, 1e-42
    bits = weight.detach().clone().view(torch.int32)
    masked = Masked(cuttable_layers(model))
    with pytest.raises(error), masked.trial({"0": np.zeros((2, 3), dtype=bool)}):
        raise error
    assert torch.equal(weight.detach().view(torch.int32), bits)


def test_trials_do_not_add_up() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(1.0)
    masked = Masked(cuttable_layers(model))
    for row in (0, 1):
        mask = np.ones((2, 3), dtype=bool)
        mask[row] = False
        with masked.trial({"0": mask}):
            assert model.get_parameter("0.weight").sum(1).tolist() == [3.0 * row, 3.0 - 3.0 * row]
