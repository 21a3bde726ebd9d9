"""`fuse_norms_`: which norms it fuses, which it leaves and why, and that nothing else changes."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork import models
from openwork.errors import VerificationError
from openwork.nn import (
    BatchNormAct2d,
    NativeMaxPool2d,
    Plan,
    SSCBlock,
    fuse_norms_,
    sparsify_,
    unfuse_norms_,
)


def _small(act: nn.Module | None = None) -> nn.Sequential:
    conv = nn.Conv2d(3, 4, 3)
    return nn.Sequential(conv, nn.BatchNorm2d(4), act or nn.ReLU(), nn.Conv2d(4, 2, 3))


def _images(size: int = 8, batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "fused", "sums"),
    [("vgg16-cifar", 13, 0), ("cnn_small", 6, 0), ("resnet32", 31, 15), ("mobilenet", 27, 0)],
)
def test_our_models_are_fused_whole(name: str, fused: int, sums: int) -> None:
    torch.manual_seed(0)
    model: Any = models.build(name)
    images = _images(32)
    before = copy.deepcopy(model)
    parameters, state = list(model.parameters()), copy.deepcopy(model.state_dict())
    report = fuse_norms_(model, images)
    assert (len(report.fused), len(report.sums)) == (fused, sums)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(isinstance(norm, BatchNormAct2d) and norm.native for norm in norms)
    assert not any(type(module) is nn.ReLU for module in model.features.modules())
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    for training in (True, False):
        found, expected = model.train(training)(images), before.train(training)(images)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    unfuse_norms_(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in before.modules()]
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


@pytest.mark.parametrize(("name", "count"), [("vgg16-cifar", 5), ("cnn_small", 2)])
def test_max_pools_become_native_and_go_back(name: str, count: int) -> None:
    model: Any = models.build(name)
    before, images = copy.deepcopy(model), _images(32)
    report = fuse_norms_(model, images)
    assert len(report.pools) == count
    assert all(type(model.get_submodule(pool)) is NativeMaxPool2d for pool in report.pools)
    assert str(report).count("native max pool") == count
    unfuse_norms_(model)
    assert [repr(m) for m in model.modules()] == [repr(m) for m in before.modules()]


def test_pools_that_others_watch_or_made_stay() -> None:
    class Own(nn.MaxPool2d):
        pass

    hooked = nn.MaxPool2d(2)
    hooked.register_forward_hook(lambda *_: None)
    model = nn.Sequential(*_small(), hooked, Own(2))
    assert fuse_norms_(model, _images(32)).pools == ()
    assert fuse_norms_(nn.MaxPool2d(2), _images()).pools == ()
    assert "max pool" not in str(fuse_norms_(_small(), _images()))


def test_sparse_networks_and_blocks_are_fused() -> None:
    model = sparsify_(
        models.build("vgg-small", in_channels=1, image_size=28),
        Plan({"conv:*": {"pattern": "random", "density": 0.5}}),
    )
    assert len(fuse_norms_(model, torch.randn(2, 1, 28, 28)).fused) == 6
    block = SSCBlock(16, 16, groups=4)
    assert fuse_norms_(block, torch.randn(2, 16, 6, 6)).fused == {"norm": "relu"}


class _Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(x))


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.other, self.act = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.other(self.act(self.norm(x))))


class _Forked(_Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return self.act(y) + y


class _Shared(_Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.norm(x)))


class _InEvaluation(_Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return self.act(y) if self.training else y * 2


def test_relus_in_place_are_taken_out_too() -> None:
    model, images = _small(nn.ReLU(inplace=True)), _images()
    expected = copy.deepcopy(model)(images)
    assert fuse_norms_(model, images).fused == {"1": "2"}
    torch.testing.assert_close(model(images), expected)
    act = unfuse_norms_(model).get_submodule("2")
    assert isinstance(act, nn.ReLU)
    assert act.inplace


def _hooked() -> nn.Module:
    model = _small()
    model[1].register_forward_hook(lambda *_: None)
    return model


def _hooked_act() -> nn.Module:
    model = _small()
    model[2].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    ("model", "norm", "reason"),
    [
        (_Functional(), "norm", "goes to relu in model, not to an nn.ReLU"),
        (_Twice(), "norm", "its ReLU 'act' runs 2 times"),
        (_Forked(), "norm", "its output is used 2 times"),
        (_Forked(), "other", "it runs 0 times"),
        (_Shared(), "norm", "it runs 2 times"),
        (_InEvaluation(), "norm", "goes to mul"),
        (_small(nn.GELU()), "1", "in '2' (GELU), not to an nn.ReLU"),
        (_small(nn.ReLU6()), "1", "in '2' (ReLU6), not to an nn.ReLU"),
        (_hooked(), "1", "it has hooks"),
        (_hooked_act(), "1", "its ReLU '2' has hooks"),
        (nn.Sequential(nn.BatchNorm2d(3)), "0", "its output is the network's output"),
        (nn.BatchNorm2d(3), "", "it is the whole model"),
        (nn.Sequential(BatchNormAct2d(3), nn.ReLU()), "0", "it is a BatchNormAct2d already"),
    ],
)
def test_what_is_left_and_why(model: nn.Module, norm: str, reason: str) -> None:
    kinds = [type(module) for module in model.modules()]
    report = fuse_norms_(model, _images())
    assert reason in report.left[norm]
    assert report.fused == {}
    assert [type(module) for module in model.modules()] == kinds
    assert "0 of" in str(report)


def test_modes_buffers_and_random_numbers_stay() -> None:
    model = _small()
    model.append(nn.Dropout(0.5))
    model[1].eval()
    state, numbers = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    fuse_norms_(model, _images(batch=1))
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), numbers)
    assert [module.training for module in model] == [True, False, True, True, True]


class _Unregistered(nn.Module):
    """Calls a norm that it keeps where replacing modules does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.act = nn.BatchNorm2d(3), nn.ReLU()
        self.hidden = (self.norm, self.act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.hidden[0](x))


class _ReadsItsAct(_Unregistered):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(x)) + float(type(self.act) is nn.ReLU)


@pytest.mark.parametrize("kind", [_Unregistered, _ReadsItsAct])
def test_where_outputs_would_change_nothing_does(kind: type[nn.Module]) -> None:
    model, images = kind(), _images()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(VerificationError, match="would differ"):
        fuse_norms_(model, images)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_torchs_conversion_to_synced_norms_brings_the_relu_back() -> None:
    model, images = _small(), _images()
    fuse_norms_(model, images)
    expected = model.eval()(images)
    synced: Any = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(synced[1]) is nn.SyncBatchNorm
    torch.testing.assert_close(synced.eval()(images), expected)


def test_a_copy_of_a_fused_model_works_alone() -> None:
    model, images = _small(), _images()
    fuse_norms_(model, images)
    twin: Any = copy.deepcopy(model)
    assert twin[2].replaced[1] is twin[1]
    torch.testing.assert_close(twin(images), model(images))
