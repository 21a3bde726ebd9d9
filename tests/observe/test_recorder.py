"""`ActivationRecorder`: each layer once, with the largest number after its activation."""

import torch
import torch.nn.functional as F
from channel_networks import Applied
from torch import nn

from openwork.observe.recorder import ActivationRecorder

IMAGES = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _recorded(model: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    found = {}
    with ActivationRecorder(model, found.__setitem__) as recorder:
        model(batch)
        recorder.flush()
    return found


def test_a_layer_counts_once_whatever_its_pooled_output_meets() -> None:
    model = Applied(nn.Conv2d(2, 3, 1), lambda x: F.relu(F.max_pool2d(x, 2)).sum() + F.relu(x))
    seen = []
    with torch.no_grad(), ActivationRecorder(model, lambda name, _: seen.append(name)) as recorder:
        model(IMAGES)
        recorder.flush()
    assert seen == ["layer"]


@torch.no_grad()
def test_the_activations_result_is_recorded_also_where_it_writes_in_place() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).eval()
    found = _recorded(model, IMAGES)
    assert list(found) == ["1"]
    expected = model[1](model[0](IMAGES)).relu().amax((2, 3))
    torch.testing.assert_close(found["1"], expected)


@torch.no_grad()
def test_without_an_activation_the_batch_norms_own_output_is_recorded() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)).eval()
    found = _recorded(model, IMAGES)
    assert list(found) == ["1"]
    expected = model[:2](IMAGES).abs().amax((2, 3))
    torch.testing.assert_close(found["1"], expected)


def test_hooks_are_removed() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
    _recorded(model, IMAGES)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
