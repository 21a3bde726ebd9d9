"""`training_table` says what a training step runs, and leaves the network as it was."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import copy
from pathlib import Path

import torch
from torch import nn

import openwork as ow
from openwork.nn import SparseConv1d, SparseConv2d, SparseLinear, training_table
from openwork.ops import native
from openwork.patterns import random

VARIABLE = "OPENWORK_TRAIN_KERNELS"


@pytest.fixture(autouse=True)
def _first_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first kernel runs, however small the layer is."""
    monkeypatch.setenv(VARIABLE, "native")
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "LEAST_WORK", 0)


def conv(seed: int = 1) -> SparseConv2d:
    """Layers of one pattern share what was chosen, in other tests too."""
    return SparseConv2d(random(8, 8, 3, density=0.5, seed=seed), padding=1)


class Net(nn.Module):
    """Layers of every kind, one that runs twice and one that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv()
        self.norm = nn.BatchNorm2d(8)
        self.twice = conv()
        self.drop = nn.Dropout(0.5)
        self.sequence = SparseConv1d(random(4, 8, (1, 3), density=0.5))
        self.head = SparseLinear(random(5, 4, density=0.5))
        self.idle = conv()

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor | None = None) -> torch.Tensor:
        x = self.norm(self.first(x if scale is None else x * scale))
        x = self.sequence(self.drop(self.twice(self.twice(x))).mean(2))
        return self.head(x.mean(2))


def test_every_direction_of_every_call_is_reported() -> None:
    times = training_table(Net(), torch.randn(2, 8, 6, 7))
    assert [each.layer for each in times.layers] == ["first", "twice", "twice", "sequence", "head"]
    assert [each.kind for each in times.layers][2:] == [
        "SparseConv2d",
        "SparseConv1d",
        "SparseLinear",
    ]
    assert times.idle == ("idle",)
    first, second = times.layers[:2]
    assert first.by_input is None
    assert [name for name, _ in second.directions()] == ["forward", "input", "weight"]
    assert (first.shape, first.input, first.density) == ((8, 8, 3, 3), (2, 8, 6, 7), 0.5)
    for layer in times.layers:
        for _, way in layer.directions():
            assert way.kernel.startswith("f32-")
            assert way.why == ""
            assert way.milliseconds > 0 < way.dense_milliseconds


def test_frozen_weights_need_no_gradient() -> None:
    model = Net()
    model.first = conv(seed=2)
    model.first.requires_grad_(False)
    model.twice.requires_grad_(False)
    first, second = training_table(model, torch.randn(2, 8, 6, 7)).layers[:2]
    assert [name for name, _ in first.directions()] == ["forward"]
    # Neither its input nor its weights have gradients, so a step measures nothing.
    assert first.forward.why == "not measured: it runs without gradients"
    assert [name for name, _ in second.directions()] == ["forward", "input"]
    assert second.forward.kernel.startswith("f32-")


def test_the_model_is_left_as_it_was() -> None:
    model, example = Net().eval(), torch.randn(2, 8, 6, 7)
    model.drop.train()
    model(example).sum().backward()
    model.norm(torch.randn(2, 8, 3, 3))
    before = copy.deepcopy(model.state_dict())
    grads = {name: p.grad for name, p in model.named_parameters()}
    values = {name: None if g is None else g.clone() for name, g in grads.items()}
    random_numbers = torch.get_rng_state()
    given = example.clone()
    training_table(model, example)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert torch.equal(example, given)
    assert [m.training for m in model.modules()].count(True) == 1
    assert model.drop.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, parameter in model.named_parameters():
        assert parameter.grad is grads[name]
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, values[name], rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())


def test_inputs_are_given_as_to_compile() -> None:
    x, scale = torch.randn(2, 8, 6, 7), torch.ones(1)
    for example in ((x,), {"x": x, "scale": scale}):
        assert len(training_table(Net(), example).layers) == 5


REASONS = {
    "off": ("reference", torch.float32, 0, f"{VARIABLE}=reference"),
    "dtype": ("native", torch.float64, 0, "float64: kernels compute float32"),
    "small": ("native", torch.float32, 10**9, "under 1000 million multiply-adds if dense"),
}


@pytest.mark.parametrize("name", REASONS)
def test_where_the_reference_runs_it_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, dtype, least, why = REASONS[name]
    monkeypatch.setenv(VARIABLE, mode)
    monkeypatch.setattr(native, "LEAST_WORK", least)
    times = training_table(nn.Sequential(conv().to(dtype)), torch.randn(2, 8, 6, 7, dtype=dtype))
    (layer,) = times.layers
    for _, way in layer.directions():
        assert way.kernel == "reference"
        assert way.why.startswith(why)


def test_another_layout_is_a_reason() -> None:
    x = torch.randn(2, 8, 6, 7).to(memory_format=torch.channels_last)
    (layer,) = training_table(nn.Sequential(conv()), x).layers
    assert layer.forward.why == "not contiguous, as in channels_last"


def test_a_shape_that_no_kernel_takes_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "kernels", lambda *_: [])
    (layer,) = training_table(nn.Sequential(conv(seed=3)), torch.randn(2, 8, 6, 7)).layers
    assert layer.forward.why == "no kernel takes this shape"


def test_what_was_measured_and_not_faster_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(native.choices, "measure", lambda *_: "reference")
    (layer,) = training_table(nn.Sequential(conv(seed=4)), torch.randn(2, 8, 6, 7)).layers
    assert {way.why for _, way in layer.directions()} == {"measured: no kernel is faster"}


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(ow.ArgumentError, match="`model` has no sparse layer to time"):
        training_table(nn.Sequential(nn.Linear(2, 2)), torch.randn(1, 2))
    with pytest.raises(ow.ArgumentError, match=r"`example` of shape \(2, 7, 6, 7\) is not acc"):
        training_table(Net(), torch.randn(2, 7, 6, 7))
