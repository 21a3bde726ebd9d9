"""Optimisers and averages continue with the compacted network."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from openwork.compact import compact
from openwork.errors import ArgumentError, VerificationError
from openwork.nn import Plan, sparsify_

EXAMPLE = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _model(sparse: bool) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.Flatten(),
        nn.Linear(6 * 64, 5),
    )
    if sparse:
        sparsify_(model, Plan({"3": {"pattern": "random", "density": 0.5}}))
    # Without weights and scales, neither gradients nor decay can revive these channels.
    with torch.no_grad():
        for name in ("0.weight", "1.weight", "1.bias"):
            model.get_parameter(name)[:3] = 0
    return model


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(EXAMPLE), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_training_continues_as_if_nothing_had_happened(kind: str, sparse: bool) -> None:
    model = _model(sparse)
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        _step(model, optimizer)
    held = list(optimizer.state.values())
    twin = copy.deepcopy(model)
    twin_optimizer = type(optimizer)(twin.parameters(), **_settings(optimizer))
    twin_optimizer.load_state_dict(optimizer.state_dict())
    small, report = compact(model, EXAMPLE, optimizer=optimizer)
    assert report.parameters[1] < report.parameters[0]
    live = {id(p) for p in small.parameters()}
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == live
    assert len(held) == len(optimizer.state) == len(live)
    for _ in range(3):
        _step(twin.train(), twin_optimizer)
        _step(small.train(), optimizer)
    with torch.no_grad():
        expected, found = twin.eval()(EXAMPLE), small.eval()(EXAMPLE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def _settings(optimizer: torch.optim.Optimizer) -> dict:
    group = optimizer.param_groups[0]
    return {key: group[key] for key in ("lr", "momentum", "weight_decay") if key in group}


def test_a_failure_leaves_the_optimiser_alone() -> None:
    class Restless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) + torch.rand_like(x)

    model = Restless()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(VerificationError, match="the original is unchanged"):
        compact(model, EXAMPLE, optimizer=optimizer)
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_several_optimisers_and_adagrads_new_biases_follow() -> None:
    """A removed constant becomes a bias that no optimiser has seen."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1, bias=False))
    with torch.no_grad():
        model.get_parameter("0.weight")[:3] = 0
        model.get_parameter("0.bias")[:3] = 1
    optimizers = [
        torch.optim.Adagrad(model[2].parameters(), lr=0.1),
        torch.optim.Adam(model[0].parameters()),
    ]
    small, _ = compact(model, EXAMPLE, optimizer=optimizers)
    assert optimizers[0].param_groups[0]["params"][1] is small.get_parameter("2.bias")
    before = small.get_parameter("2.bias").clone()
    small(EXAMPLE).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert (small.get_parameter("2.bias") < before).all()


def test_parameters_that_were_left_out_stay_out() -> None:
    model = _model(sparse=False)
    optimizer = torch.optim.SGD(
        [model.get_parameter("3.weight"), model.get_parameter("5.weight")], lr=0.1
    )
    small, _ = compact(model, EXAMPLE, optimizer=optimizer)
    assert optimizer.param_groups[0]["params"][0] is small.get_parameter("3.weight")
    assert len(optimizer.param_groups[0]["params"]) == 2


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_average_is_cut_along(wrapped: bool) -> None:
    model = _model(sparse=False)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    ema = average if wrapped else copy.deepcopy(model)
    small, report = compact(model, EXAMPLE, ema=ema)
    assert report.ema is not None
    assert report.ema < 1e-6
    own = average.module if wrapped else ema
    assert {n: p.shape for n, p in own.named_parameters()} == {
        n: p.shape for n, p in small.named_parameters()
    }
    if wrapped:
        average.update_parameters(small)


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_average_that_would_cut_the_model_is_refused(wrapped: bool) -> None:
    model = _model(sparse=False)
    ema = model
    if wrapped:
        ema = copy.deepcopy(model)
        ema[1] = model[1]
    with pytest.raises(ArgumentError, match="`ema` shares tensors"):
        compact(model, EXAMPLE, ema=ema)
    assert model[0].out_channels == 8


def test_a_failure_leaves_the_average_alone() -> None:
    def evaluate(_: nn.Module) -> float:
        raise KeyError("labels")

    model = _model(sparse=False)
    ema = copy.deepcopy(model)
    with pytest.raises(KeyError, match="labels"):
        compact(model, EXAMPLE, ema=ema, evaluate=evaluate)
    assert ema[0].weight.shape == model[0].weight.shape


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.optim.LBFGS, "LBFGS, which holds the parameters a second time, in `_params`"),
        (torch.optim.Adafactor, "Adafactor, whose 'row_var' has another shape"),
    ],
)
def test_an_optimiser_that_cannot_be_cut_is_refused(kind: type, message: str) -> None:
    model = _model(sparse=False)
    optimizer = kind(model.parameters(), lr=0.01)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(EXAMPLE), torch.tensor([0, 1, 2, 3]))
        loss.backward()
        return loss

    optimizer.step(closure)
    held = list(model.parameters())
    with pytest.raises(ArgumentError, match=message):
        compact(model, EXAMPLE, optimizer=optimizer)
    assert [p for group in optimizer.param_groups for p in group["params"]] == held
