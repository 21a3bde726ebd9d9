"""timm's batch norms with an activation in them, on native kernels."""

import copy
import importlib.util
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from openwork.errors import VerificationError
from openwork.models.zoo import import_zoo
from openwork.nn import fuse_norms_
from openwork.nn.norms.native_norm import NativeNorm
from openwork.nn.norms.timm_norm_act import act_of, from_native_, is_timms, to_native_
from openwork.train.sync_batchnorm import synced_batchnorm

if importlib.util.find_spec("timm") is None:
    pytest.skip("needs timm", allow_module_level=True)


def _norm(**options: Any) -> Any:
    return import_zoo("timm").layers.BatchNormAct2d(5, **options)


def test_which_norms_are_timms_and_what_they_compute() -> None:
    norm = _norm()
    assert is_timms(norm)
    assert not is_timms(nn.BatchNorm2d(5))
    own: Any = type("Own", (type(norm),), {})
    assert not is_timms(own(5))
    assert act_of(norm) == "relu"
    assert act_of(_norm(apply_act=False)) == "none"
    assert act_of(_norm(act_layer=nn.ReLU6)) == "relu6"
    assert act_of(_norm(act_layer=nn.SiLU)) is None
    assert act_of(_norm(drop_layer=nn.Dropout)) is None


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6, nn.SiLU])
@pytest.mark.parametrize("waits", [True, False])
def test_it_trains_and_evaluates_as_before_and_goes_back(act: Any, waits: bool) -> None:
    torchs = _norm(act_layer=act)
    nn.init.uniform_(torchs.weight, 1.0, 4.0)
    ours = copy.deepcopy(torchs)
    kind, children = type(torchs), list(ours.named_children())
    known = act_of(ours)
    to_native_(ours, known if waits else None)
    assert isinstance(ours, NativeNorm)
    assert isinstance(ours, kind)
    assert ours.stands_in
    for training in (True, True, False):
        x = (torch.randn(4, 5, 6, 7) * 2 + 1).requires_grad_()
        y = x.detach().clone().requires_grad_()
        found, expected = ours.train(training)(x), torchs.train(training)(y)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        for result in (found, expected):
            result.square().sum().backward()
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)
    for one, two in zip(ours.state_dict().values(), torchs.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two)
    again = pickle.loads(pickle.dumps(ours))
    assert type(again) is type(copy.deepcopy(ours)) is type(ours)
    for _ in range(2):
        from_native_(ours)
    assert type(ours) is kind
    assert list(ours.named_children()) == children
    assert vars(ours).keys() == vars(torchs).keys()


def test_a_watched_activation_is_not_taken_over() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), _norm(), nn.Conv2d(5, 2, 3))
    norm: Any = model[1]
    norm.act.register_forward_hook(lambda *_: None)
    report = fuse_norms_(model, torch.randn(2, 3, 8, 8))
    assert (report.fused, report.alone) == ({}, {"1": "its ReLU has hooks"})
    assert norm.waits_for is None


class _AsksForItsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = _norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) * 2 + float(is_timms(self.norm))


def test_where_outputs_would_change_it_stays_as_it_was() -> None:
    model = _AsksForItsNorm()
    with pytest.raises(VerificationError, match="would differ"):
        fuse_norms_(model, torch.randn(2, 5, 8, 8))
    assert is_timms(model.norm)
    with synced_batchnorm(model, 2):
        assert not is_timms(model.norm)
    assert is_timms(model.norm)


def test_ranks_share_the_statistics_of_a_native_one_too() -> None:
    norm = _norm()
    to_native_(norm, "relu")
    kind = type(norm)
    with synced_batchnorm(norm, 2):
        assert type(norm) is not kind
    assert type(norm) is kind
