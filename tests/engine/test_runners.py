"""What runs a convolution, by the name of its kernel."""

import numpy as np
import pytest
import torch

from openwork.engine.fallback import TorchConv
from openwork.engine.runners import Choice, make_runner
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.runtime.nodes import Conv
from openwork.runtime.program import Native
from openwork.runtime.values import Value

X, Y = Value((3, 5, 6), "x"), Value((2, 5, 6), "y")


@pytest.fixture
def conv() -> Conv:
    """3x3, with half of its taps."""
    positions = np.arange(0, 54, 2)
    weight = np.random.default_rng(0).standard_normal(27, np.float32)
    window = (1, 1), (1, 1), (1, 1)
    return Conv([X], Y, "layer", (5, 6), (2, 3, 3, 3), *window, 1, positions, weight, None)


def test_torch_runs_the_dense_weight(conv: Conv) -> None:
    runner = make_runner(conv, "torch", _C.chosen_isa())
    assert isinstance(runner, TorchConv)
    np.testing.assert_array_equal(runner.weight.numpy(), conv.dense_weight())


def test_a_kernel_gives_what_torch_gives(conv: Conv) -> None:
    isa = _C.chosen_isa()
    images = torch.randn(2, 3, 5, 6)
    expected = torch.conv2d(images, torch.from_numpy(conv.dense_weight()), padding=1)
    names = [each.name for each in candidates(conv.problem(), isa)]
    for name in [each for each in names if each.startswith("f32-")][::7]:
        layer = make_runner(conv, name, isa)
        assert not isinstance(layer, TorchConv)
        found = np.empty((2, 2, 5, 6), np.float32)
        assert layer is not None
        Native([conv], {conv: layer}, {Y}, isa).run([images.numpy()], [found], 2, 1)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_kernel_that_cannot_run_the_layer_gives_nothing(conv: Conv) -> None:
    isa = _C.chosen_isa()
    name = candidates(conv.problem(), "baseline")[0].name
    assert make_runner(conv, name, "baseline") is not None
    assert make_runner(conv, name.replace("-baseline", "-other"), "baseline") is None
    assert make_runner(conv, "f32-conv-removed", isa) is None
    if isa != "baseline":
        assert make_runner(conv, name, isa) is None


def test_a_given_choice_has_no_times() -> None:
    assert Choice("torch") == Choice("torch", None, None)
    assert Choice("torch") != Choice("torch", 1.0)
