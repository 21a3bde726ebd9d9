"""What one forward pass shows: the order of the layers, and which are heads."""

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.prune.units.forward_pass import ForwardPass, trace_forward

IMAGE = torch.ones(2, 3, 4, 4)


class Two(nn.Module):
    """Two heads, and a linear one that is registered first."""

    def __init__(self, joined: bool = False) -> None:
        super().__init__()
        self.joined = joined
        self.head = nn.Linear(8, 4)
        self.mid = nn.Conv2d(8, 8, 1)
        self.stem = nn.Conv2d(3, 8, 1)
        self.box = nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> object:
        # A residual: the stem reaches the heads, but is not one, since `mid` reads it.
        y = self.stem(x).relu_()
        y = y + self.mid(y)
        outputs = {"class": self.head(y.mean((2, 3))), "box": self.box(y)}
        if self.joined:
            return torch.cat([outputs["class"], outputs["box"].mean((2, 3))], 1)
        return outputs


class WithoutGradients(Two):
    """Runs only without gradients."""

    def forward(self, x: torch.Tensor) -> object:
        return super().forward(torch.from_numpy(x.numpy()))


def _trace(model: nn.Module, example: torch.Tensor = IMAGE) -> ForwardPass:
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return trace_forward(model, layers, example)


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_layers_that_no_other_layer_reads_are_heads(joined: bool, frozen: bool) -> None:
    forward_pass = _trace(Two(joined).requires_grad_(not frozen))
    assert forward_pass == ForwardPass(("stem", "mid", "head", "box"), frozenset({"head", "box"}))


def test_without_gradients_the_layer_that_ran_last_is_the_head() -> None:
    assert _trace(WithoutGradients()).heads == {"box"}
    model = Two()
    with torch.inference_mode():
        assert _trace(model, torch.ones(2, 3, 4, 4)).heads == {"head", "box"}


def test_nothing_is_left_on_the_model() -> None:
    model = Two().train()
    _trace(model)
    assert model.training
    assert not model.stem._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_example_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ow.ArgumentError, match=r"`example` of shape \(2, 5, 4, 4\).* Two: [^.]*\."):
        _trace(Two(), torch.ones(2, 5, 4, 4))
