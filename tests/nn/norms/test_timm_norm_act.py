"""timm's batch norms with an activation in them, on native kernels."""

import copy
import importlib.util
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from openwork.models.zoo import import_zoo
from openwork.nn.norms.native_norm import NativeNorm
from openwork.nn.norms.timm_norm_act import act_of, from_native_, is_timms, to_native_

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
    assert from_native_(ours)
    assert not from_native_(ours)
    assert type(ours) is kind
    assert list(ours.named_children()) == children
    assert vars(ours).keys() == vars(torchs).keys()
