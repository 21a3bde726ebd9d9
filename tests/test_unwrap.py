"""Wrappers are looked through, and only they."""

import pytest
import torch
from channel_networks import Plain
from parts import part
from torch import nn

import openwork as ow
from openwork._unwrap import inner, unwrapped

EXAMPLE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Child(nn.DataParallel):
    """A user's own kind of a wrapper."""


class DistributedDataParallel(nn.Module):
    """Bears the name of a wrapper, but computes something itself."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.ReLU()


@pytest.mark.parametrize("wrap", [nn.DataParallel, Child, torch.compile])
def test_wrappers_are_looked_through(wrap: type[nn.Module]) -> None:
    model = Plain()
    assert inner(wrap(model)) is model
    assert unwrapped(nn.DataParallel(wrap(model))) is model


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(nn.ReLU()), DistributedDataParallel()])
def test_other_modules_are_what_they_are(model: nn.Module) -> None:
    assert inner(model) is None
    assert unwrapped(model) is model
    assert unwrapped(None) is None


@pytest.mark.parametrize("wrap", [nn.DataParallel, Child])
def test_verbs_take_what_wraps_a_network(wrap: type[nn.Module], tmp_path) -> None:
    model = Plain().eval()
    wrapped, expected = wrap(model), model(EXAMPLE)
    small, _ = ow.compact(wrapped, EXAMPLE)
    assert part(small, "stem", nn.Conv2d).out_channels == 5
    torch.testing.assert_close(small(EXAMPLE), expected, rtol=0, atol=1e-5)
    fast = ow.compile(wrapped, EXAMPLE, kernels={"*": ("f32-conv-taps-*", "*")})
    torch.testing.assert_close(fast(EXAMPLE), expected, rtol=0, atol=1e-4)
    ow.save(wrapped, tmp_path / "m.safetensors")
    loaded = ow.load(tmp_path / "m.safetensors", build=Plain).eval()
    assert torch.equal(loaded(EXAMPLE), expected)
