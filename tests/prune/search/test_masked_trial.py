"""The error under masks, and a network that is the same bits afterwards."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from openwork.prune.search.masked_trial import MaskedTrial
from openwork.prune.units.layers import cuttable_layers


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))


def _live(model: nn.Module, share: float) -> float:
    """The share of weights that are not zero, and the norm's first mean beside it."""
    mean = model.get_buffer("1.running_mean")[0]
    return float((model.get_parameter("0.weight") != 0).float().mean() + 1000 * mean)


HALF = {"0": np.arange(4)[:, None, None, None] % 2 * np.ones((4, 2, 3, 3)) > 0}


def test_the_error_is_of_the_masked_network_which_is_then_as_before() -> None:
    model = _network()
    before = pickle.dumps(model.state_dict())
    trial = MaskedTrial(model, _live, cuttable_layers(model))
    assert trial.error(HALF, 1.0, "half") == 0.5
    assert trial.error({}, 1.0, "all") == 1.0
    assert pickle.dumps(model.state_dict()) == before
    assert model.training
    assert not trial.on_accelerator()


def test_statistics_are_measured_over_the_batches_and_put_back() -> None:
    model = _network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(8, 2, 5, 5)
    trial = MaskedTrial(model, _live, cuttable_layers(model), [images])
    # The first map is cut: its mean is its bias.
    wanted = 0.5 + 1000 * model.get_parameter("0.bias")[0].item()
    assert trial.error(HALF, 1.0, "half") == pytest.approx(wanted, rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_trial_that_was_sent_masks_its_own_network() -> None:
    model = _network()
    sent = pickle.loads(pickle.dumps(MaskedTrial(model, _live, cuttable_layers(model))))
    assert sent.error(HALF, 1.0, "half") == 0.5
    assert torch.equal(model.get_parameter("0.weight"), _network().get_parameter("0.weight"))
