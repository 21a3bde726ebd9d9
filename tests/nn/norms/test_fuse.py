"""`fuse_norms_`: which norms it fuses, which it leaves and why, and that nothing else changes."""

import copy
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork import models
from openwork.errors import OpenworkError, VerificationError
from openwork.nn import (
    BatchNormAct2d,
    NativeDepthwiseConv2d,
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


def _convs(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if isinstance(module, nn.Conv2d)]


def test_depthwise_convolutions_become_native_and_go_back() -> None:
    model: Any = models.build("mobilenet")
    convs, types = _convs(model.modules()), [type(module) for module in model.modules()]
    report = fuse_norms_(model, _images(32))
    assert len(report.depthwise) == 13
    kinds = {type(model.get_submodule(name)) for name in report.depthwise}
    assert kinds == {NativeDepthwiseConv2d}
    assert str(report).count("native depthwise convolution") == 13
    assert all(one is other for one, other in zip(_convs(model.modules()), convs, strict=True))
    unfuse_norms_(model)
    assert [type(module) for module in model.modules()] == types


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


class _Ends(_Functional):
    def __init__(self, end: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.norm(x))


class _Sum(_Ends):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.norm(x) + x)


class _Block(nn.Module):
    """A residual block as torchvision writes them: one ReLU for all, sums in place."""

    def __init__(self, end: Callable[..., torch.Tensor], down: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu, self.end = nn.ReLU(inplace=True), end
        self.down = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) if down else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.end(y, self.down(x))


def _in_place(y: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    y += other
    return F.relu(y, inplace=True)


ENDS: list[Callable[..., torch.Tensor]] = [
    lambda y, x: F.relu(y + x),
    lambda y, x: torch.relu(x + y),
    lambda y, x: torch.add(x, y).relu_(),
    lambda y, x: F.relu(y.add(x), True),
    _in_place,
]


def _trained(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    output = model(images)
    output.square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [output.detach(), *gradients, *model.buffers()]


def _errors(found: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> torch.Tensor:
    """The error of each tensor over its size, which is that of thousandths at least."""
    sizes = [right.double().norm() + 1e-3 * right.numel() ** 0.5 for right in exact]
    errors = [(one.double() - right).norm() for one, right in zip(found, exact, strict=True)]
    return torch.stack(errors) / torch.stack(sizes)


@pytest.mark.parametrize(
    "act",
    [
        nn.ReLU6(),
        nn.ReLU6(inplace=True),
        F.relu6,
        lambda y: F.relu6(y, True),
        lambda y: F.hardtanh(y, 0.0, 6.0),
        lambda y: F.hardtanh(y, min_val=0, max_val=6, inplace=True),
    ],
)
@pytest.mark.parametrize("kind", [_Ends, _Sum])
def test_relus_with_a_bound_are_fused(kind: Any, act: Any) -> None:
    model, images = kind(act), 9 * _images()
    nn.init.constant_(model.norm.weight, 5.0)
    twin = copy.deepcopy(model)
    assert set(fuse_norms_(model, images).fused.values()) <= {"end", "relu6"}
    assert model.norm.waits_for == "relu6"
    found, expected = _trained(model, images), _trained(twin, images)
    assert found[0].max() == 6
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("down", [False, True])
def test_sums_and_relus_in_a_models_code_are_fused(
    end: Callable[..., torch.Tensor], down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Conv2d(3, 3, 3), _Block(end, down)), _images()
    twin = copy.deepcopy(model)
    report = fuse_norms_(model, images)
    assert report.fused["1.bn1"] == "1.relu"
    # A sum of two norms is computed by the one that comes first.
    summed = "1.bn2" if "1.bn2" in report.fused else "1.down.1"
    assert report.fused == {"1.bn1": "1.relu", summed: "relu in 1"}
    assert report.sums == (summed,)
    assert "the sum and relu in 1" in str(report)
    computed = []
    for name in report.fused:
        norm: Any = model.get_submodule(name)
        train = norm._train
        monkeypatch.setattr(
            norm, "_train", lambda x, *how, train=train: computed.append(how) or train(x, *how)
        )
    found, expected = _trained(model, images), _trained(twin, images)
    # Once each: with its ReLU, and the last with its sum.
    assert [(residual is not None, *rest) for residual, *rest in computed] == [
        (False, "relu", True),
        (True, "relu", True),
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18"])
def test_published_networks_are_fused(name: str) -> None:
    if importlib.util.find_spec(name.partition(":")[0]) is None:
        pytest.skip(f"needs {name.partition(':')[0]}")
    report = fuse_norms_(models.build(name), torch.randn(2, 3, 64, 64))
    # The others are those of shortcuts, which are added to the last norms of their blocks.
    assert (len(report.fused), len(report.sums), len(report.alone), report.left) == (17, 8, 3, {})


@pytest.mark.parametrize(
    ("name", "fused", "sums", "alone"),
    [
        ("torchvision:mobilenet_v2", 45, 10, 7),
        ("timm:mobilenetv2_050", 45, 10, 7),
        # Most of its activations are others.
        ("timm:lcnet_050", 0, 0, 27),
        ("timm:mobilenetv3_small_050", 12, 7, 22),
    ],
)
def test_mobile_networks_are_fused(name: str, fused: int, sums: int, alone: int) -> None:
    if importlib.util.find_spec(name.partition(":")[0]) is None:
        pytest.skip(f"needs {name.partition(':')[0]}")
    torch.manual_seed(0)
    model: Any = models.build(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    twin, images = copy.deepcopy(model), torch.randn(4, 3, 64, 64)
    report = fuse_norms_(model, images)
    assert (len(report.fused), len(report.sums), len(report.alone)) == (fused, sums, alone)
    assert report.left == {}
    exact = _trained(copy.deepcopy(twin).double(), images.double())
    found, expected = _trained(model, images), _trained(twin, images)
    # Rounding grows from layer to layer, and where it moves a sum across a bound of an activation,
    # few gradients are off by much, in torch's operators as well, but not the same ones.
    errors, torchs = _errors(found, exact), _errors(expected, exact)
    assert errors.median() <= 2 * torchs.median()
    assert errors.max() <= 2 * torchs.max()
    unfuse_norms_(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in twin.modules()]
    assert list(model.state_dict()) == list(twin.state_dict())


@pytest.mark.parametrize("end", [F.gelu, lambda y: F.relu(y) + y])
def test_a_sum_without_a_relu_is_computed_with_its_norm(
    end: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = _Sum(end), _images()
    twin = copy.deepcopy(model)
    report = fuse_norms_(model, images)
    assert (report.fused, report.sums) == ({"norm": ""}, ("norm",))
    assert "with the sum" in str(report)
    norm: Any = model.norm
    train = norm._train
    computed = []
    monkeypatch.setattr(norm, "_train", lambda x, *how: computed.append(how) or train(x, *how))
    x, y = (images.clone().requires_grad_() for _ in range(2))
    found, expected = model(x), twin(y)
    assert [(residual is x, *rest) for residual, *rest in computed] == [(True, "none", True)]
    for result in (found, expected):
        result.square().sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)


def test_relus_in_place_stay_in_place() -> None:
    model, images = _small(nn.ReLU(inplace=True)), _images()
    expected = copy.deepcopy(model)(images)
    assert fuse_norms_(model, images).fused == {"1": "2"}
    torch.testing.assert_close(model(images), expected)


def test_functions_and_shared_relus_count() -> None:
    assert fuse_norms_(_Functional(), _images()).fused == {"norm": "relu"}
    assert fuse_norms_(_Twice(), _images()).fused == {"norm": "act", "other": "act"}
    assert fuse_norms_(_InEvaluation(), _images()).fused == {"norm": "act"}


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
        (_Forked(), "norm", "its output goes to 2 operations, not to a ReLU"),
        (_Forked(), "other", "it runs 0 times"),
        (_Shared(), "norm", "it runs 2 times"),
        (_small(nn.GELU()), "1", "its output goes to gelu in '2' (GELU), not to a ReLU"),
        (_small(nn.Hardtanh()), "1", "in '2' (Hardtanh), not to a ReLU"),
        (_Ends(lambda y: y + 1), "norm", "its output goes to add in model, not to a ReLU"),
        (_Ends(lambda y: (y + y.detach()).tanh()), "norm", "goes to 2 operations, not"),
        (_Sum(lambda y: y), "norm", "its sum with another tensor is the network's output"),
        (_hooked_act(), "1", "its ReLU '2' has hooks"),
        (nn.Sequential(nn.BatchNorm2d(3)), "0", "its output is the network's output"),
    ],
)
def test_what_computes_nothing_more_and_why(model: nn.Module, norm: str, reason: str) -> None:
    twin, images = copy.deepcopy(model), _images()
    report = fuse_norms_(model, images)
    assert reason in report.alone[norm]
    assert (report.fused, report.left) == ({}, {})
    assert "0 of" in str(report)
    assert f"{len(report.alone)} native" in str(report)
    native: Any = model.get_submodule(norm)
    assert (type(native), native.waits_for) == (BatchNormAct2d, None)
    for found, expected in zip(_trained(model, images), _trained(twin, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert [type(m) for m in unfuse_norms_(model).modules()] == [type(m) for m in twin.modules()]


@pytest.mark.parametrize(
    ("model", "norm", "reason"),
    [
        (_hooked(), "1", "it has hooks"),
        (nn.BatchNorm2d(3), "", "it is the whole model"),
        (nn.Sequential(BatchNormAct2d(3), nn.ReLU()), "0", "it is a BatchNormAct2d already"),
    ],
)
def test_what_is_left_and_why(model: nn.Module, norm: str, reason: str) -> None:
    kinds = [type(module) for module in model.modules()]
    report = fuse_norms_(model, _images())
    assert reason in report.left[norm]
    assert (report.fused, report.alone) == ({}, {})
    assert [type(module) for module in model.modules()] == kinds
    assert "0 of" in str(report)
    assert "native" not in str(report)


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


class _AsksForItsNorm(_Unregistered):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(x)) + float(type(self.norm) is nn.BatchNorm2d)


class _WritesItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + 1
        y = self.norm(x)
        x.zero_()
        return F.relu(y)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        # Modes that are set no longer reach its norm.
        (_Unregistered, VerificationError, "would differ"),
        (_AsksForItsNorm, VerificationError, "would differ"),
        (_WritesItsInput, OpenworkError, "was changed in place"),
    ],
)
def test_where_outputs_would_change_nothing_does(
    kind: type[nn.Module], error: type[Exception], words: str
) -> None:
    model, images = kind(), _images()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=words):
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
    assert twin[1].weight is not model[1].weight
    torch.testing.assert_close(twin(images), model(images))
