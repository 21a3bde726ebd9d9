"""`BatchNormAct2d` against torch's modules: state, statistics, modes, layouts, training."""

import copy
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from openwork.errors import ArgumentError
from openwork.nn import BatchNormAct2d

OPTIONS: list[dict[str, Any]] = [
    {},
    {"eps": 1e-2},
    {"momentum": 0.7},
    {"momentum": 1.0},
    {"momentum": None},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False},
]
# Rounding of sums over a hundred values of about one.
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def _pair(act: Any = "relu", **options: Any) -> tuple[nn.BatchNorm2d, BatchNormAct2d]:
    torchs, ours = nn.BatchNorm2d(5, **options), BatchNormAct2d(5, act=act, **options)
    if torchs.affine:
        nn.init.normal_(torchs.weight)
        nn.init.normal_(torchs.bias)
    ours.load_state_dict(torchs.state_dict())
    return torchs, ours


def _same_state(one: nn.Module, two: nn.Module) -> None:
    assert list(one.state_dict()) == list(two.state_dict())
    for value, other in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert value.dtype == other.dtype
        torch.testing.assert_close(value, other, **CLOSE)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("act", ["relu", "relu6", "none"])
@pytest.mark.parametrize("with_residual", [True, False])
def test_it_trains_and_evaluates_as_torchs_modules(
    options: dict[str, Any], act: str, with_residual: bool
) -> None:
    torchs, ours = _pair(act, **options)
    for step in range(4):
        training = step < 3
        torchs.train(training)
        ours.train(training)
        inputs = [(torch.randn(4, 5, 6, 7) * 2 + 2) for _ in range(2)]
        x, more, x2, more2 = (t.clone().requires_grad_() for t in inputs * 2)
        expected = torchs(x) + more if with_residual else torchs(x)
        expected = {"relu": F.relu, "relu6": F.relu6, "none": lambda y: y}[act](expected)
        found = ours(x2, more2 if with_residual else None)
        torch.testing.assert_close(found, expected, **CLOSE)
        upstream = torch.randn(found.shape)
        expected.backward(upstream)
        found.backward(upstream)
        torch.testing.assert_close(x2.grad, x.grad, **CLOSE)
        torch.testing.assert_close(more2.grad, more.grad, **CLOSE)
        _same_state(torchs, ours)
    for one, two in zip(torchs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes_are_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    torchs, ours = _pair()
    x, residual = torch.randn(2, 4, 5, 6, 7).to(dtype)
    if dtype == torch.float64:
        torchs.double()
        ours.double()
    assert torch.equal(ours(x, residual), (torchs(x) + residual).relu())
    _same_state(torchs, ours)


@pytest.mark.parametrize(
    "layout", [lambda t: t.to(memory_format=torch.channels_last), lambda t: t.transpose(2, 3)]
)
def test_other_layouts_are_torchs_bit_for_bit(layout: Any) -> None:
    torchs, ours = _pair()
    x, residual = (layout(t) for t in torch.randn(2, 4, 5, 6, 7))
    found = ours(x, residual)
    assert torch.equal(found, (torchs(x) + residual).relu())
    assert found.stride() == torchs(x).stride()


def test_autocast_is_torchs() -> None:
    torchs, ours = _pair()
    conv = nn.Conv2d(3, 5, 3)
    x = torch.randn(4, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = ours(conv(x)), torchs(conv(x)).relu()
    assert found.dtype == torch.bfloat16
    # Rounded from sums in another order.
    torch.testing.assert_close(found, expected, rtol=2.0**-7, atol=1e-6)
    upstream = torch.randn(found.shape)
    for norm, result in ((ours, found), (torchs, expected)):
        result.backward(upstream.bfloat16(), inputs=list(norm.parameters()))
    for one, two in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-2, atol=1e-2)
    _same_state(torchs, ours)


def test_torchs_errors_stay() -> None:
    torchs, ours = _pair()
    for shape in ((1, 5, 1, 1), (2, 4, 3, 3), (4, 5, 3), (5, 3, 3)):
        with pytest.raises((ValueError, RuntimeError)):
            torchs(torch.randn(shape))
        with pytest.raises((ValueError, RuntimeError)):
            ours(torch.randn(shape))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(torch.randn(1, 5, 1, 1))
    assert ours(torch.randn(1, 5, 1, 2)).shape == (1, 5, 1, 2)
    with pytest.raises(ArgumentError, match="`act`='gelu' must be one of"):
        BatchNormAct2d(5, act=cast(Any, "gelu"))


def test_a_residual_of_another_shape_is_broadcast_as_torch_does() -> None:
    torchs, ours = _pair()
    x, residual = torch.randn(4, 5, 6, 7), torch.randn(4, 5, 1, 1)
    assert torch.equal(ours(x, residual), (torchs(x) + residual).relu())


def test_it_follows_the_same_training_curve() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    fused: Any = copy.deepcopy(plain)
    for at in (1, 4):
        fused[at], fused[at + 1] = BatchNormAct2d.from_norm(fused[at], "relu"), nn.Identity()
    images, labels = torch.randn(32, 2, 6, 6), torch.randint(0, 3, (32,))
    curves = []
    for model in (plain, fused):
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        losses = []
        for _ in range(30):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(losses)
    assert curves[0][-1] < curves[0][0] / 4
    torch.testing.assert_close(
        torch.tensor(curves[1]), torch.tensor(curves[0]), rtol=1e-3, atol=1e-4
    )
    assert list(plain.state_dict()) == list(fused.state_dict())


def test_it_shares_parameters_with_the_norm_it_was_made_from() -> None:
    torchs, _ = _pair(momentum=0.3, eps=1e-3)
    torchs.eval().bias.requires_grad_(False)
    fused = BatchNormAct2d.from_norm(torchs, "relu")
    back = fused.to_norm()
    for module in (fused, back):
        assert all(a is b for a, b in zip(module.parameters(), torchs.parameters(), strict=True))
        assert all(a is b for a, b in zip(module.buffers(), torchs.buffers(), strict=True))
        assert (module.momentum, module.eps, module.num_features) == (0.3, 1e-3, 5)
        assert not module.training
    assert type(back) is nn.BatchNorm2d
    assert "act='relu'" in repr(fused)
    assert repr(copy.deepcopy(fused)) == repr(fused)


def test_compiled_and_checkpointed_it_is_the_same() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(3, 8, 3), BatchNormAct2d(8), nn.Conv2d(8, 4, 3))
    x = torch.randn(4, 3, 8, 8)
    traced, recomputed = copy.deepcopy(model), copy.deepcopy(model)
    compiled = torch.compile(traced, backend="aot_eager", fullgraph=True)
    results = [
        model(x),
        compiled(x),
        checkpoint(recomputed, x.clone().requires_grad_(), use_reentrant=False),
    ]
    for result in results:
        result.square().sum().backward()
    for other in (traced, recomputed):
        for one, two in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(one.grad, two.grad)
    assert torch.equal(model[1].running_mean, traced[1].running_mean)
    torch._dynamo.reset()


def test_torch_functions_that_look_for_batch_norms_find_it() -> None:
    _, ours = _pair()
    batches = [torch.randn(8, 5, 4, 4) + 3 for _ in range(3)]
    model = nn.Sequential(ours)
    torch.optim.swa_utils.update_bn(batches, model)
    assert ours.running_mean is not None
    torch.testing.assert_close(ours.running_mean, torch.cat(batches).mean((0, 2, 3)), **CLOSE)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_checkpoint_counts_a_batch_once(momentum: float | None) -> None:
    """What is computed again stops at the result, so that statistics and their count agree."""
    _, plain = _pair(momentum=momentum)
    under = copy.deepcopy(plain)
    x = torch.randn(4, 5, 6, 7, requires_grad=True)
    for _ in range(2):
        plain(x).sum().backward()
        checkpoint(under, x, use_reentrant=False).sum().backward()
    _same_state(plain, under)
    assert under.num_batches_tracked == 2
