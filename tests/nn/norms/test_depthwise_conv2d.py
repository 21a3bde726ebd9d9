"""`NativeDepthwiseConv2d`: a torch module in all but speed."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from openwork.kernels.native import reason_missing
from openwork.nn import NativeDepthwiseConv2d
from openwork.nn.norms.depthwise_conv2d import from_native_, is_depthwise, to_native_
from openwork.ops import native
from openwork.ops.choices import NATIVE, VARIABLE

# Images and channels of calls that are not too small for the kernels.
BATCH, CHANNELS, SIZE = 16, 64, 32


@pytest.fixture
def native_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The direction of each call that ran on native kernels, all that can."""
    if reason_missing is not None:
        pytest.skip(reason_missing)
    monkeypatch.setenv(VARIABLE, NATIVE)
    calls: list[str] = []
    for direction in ("forward", "input_gradient", "weight_gradient"):
        function = getattr(native, direction)

        def run(*args: Any, direction: str = direction, function: Any = function) -> torch.Tensor:
            calls.append(direction)
            return function(*args)

        monkeypatch.setattr(native, direction, run)
    return calls


def _images(**options: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(BATCH, CHANNELS, SIZE, SIZE, generator=generator).requires_grad_(**options)


def _gradients(conv: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Output and gradients of a training step."""
    images.grad = None
    conv.zero_grad()
    output = conv.train()(images)
    (output * output.detach().cos()).sum().backward()
    assert images.grad is not None
    return [
        output,
        images.grad,
        *(each.grad for each in conv.parameters() if each.grad is not None),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"kernel_size": 5, "stride": 2, "padding": 2, "bias": False},
        {"padding": "same"},
        {"kernel_size": 7, "padding": "valid"},
        {"stride": 2, "out_channels": 2 * CHANNELS, "padding": 1},
    ],
    ids=str,
)
def test_it_trains_as_torchs_module(options: dict[str, Any], native_calls: list[str]) -> None:
    torch.manual_seed(0)
    arguments = {"in_channels": CHANNELS, "out_channels": CHANNELS, "kernel_size": 3, **options}
    conv, images = nn.Conv2d(**arguments, groups=CHANNELS), _images()
    expected = _gradients(conv, images)
    assert is_depthwise(conv)
    to_native_(conv)
    assert not is_depthwise(conv)
    assert not native_calls
    found = _gradients(conv, images)
    assert sorted(set(native_calls)) == ["forward", "input_gradient", "weight_gradient"]
    assert len(found) == len(expected) == (3 if conv.bias is None else 4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    made = NativeDepthwiseConv2d(**arguments)
    made.load_state_dict(conv.state_dict())
    torch.testing.assert_close(_gradients(made, images), found, rtol=0, atol=0)
    from_native_(conv)
    torch.testing.assert_close(_gradients(conv, images), expected, rtol=0, atol=0)


def test_it_stays_the_same_object() -> None:
    conv = nn.Conv2d(8, 8, 3, groups=8)
    printed, state, attributes = repr(conv), conv.state_dict(), set(vars(conv))
    parameters = list(conv.parameters())
    to_native_(conv)
    assert type(conv) is NativeDepthwiseConv2d
    assert list(conv.state_dict()) == list(state)
    assert all(a is b for a, b in zip(conv.parameters(), parameters, strict=True))
    for copied in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert type(copied) is NativeDepthwiseConv2d
        torch.testing.assert_close(copied.state_dict(), state, rtol=0, atol=0)
    for _ in range(2):
        from_native_(conv)
        assert repr(conv) == printed
        assert set(vars(conv)) == attributes


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 4},
        {"groups": 1},
        {"kernel_size": (3, 5)},
        {"kernel_size": 1},
        {"stride": 3},
        {"stride": (1, 2)},
        {"dilation": 2},
        {"padding": 1, "padding_mode": "circular"},
        {"kernel_size": 3, "padding": "same", "dilation": (2, 1)},
    ],
    ids=str,
)
def test_layers_without_such_kernels_stay(options: dict[str, Any]) -> None:
    arguments = {"in_channels": 8, "out_channels": 8, "kernel_size": 3, "groups": 8, **options}
    assert not is_depthwise(nn.Conv2d(**arguments))


def test_layers_of_another_kind_stay() -> None:
    class Own(nn.Conv2d):
        pass

    assert not is_depthwise(Own(8, 8, 3, groups=8))
    assert not is_depthwise(nn.Conv1d(8, 8, 3, groups=8))
    assert not is_depthwise(nn.Conv2d(1, 1, 3, groups=1))


def test_all_but_training_goes_to_torch(native_calls: list[str]) -> None:
    conv = NativeDepthwiseConv2d(CHANNELS, CHANNELS, 3, padding=1)
    images = _images(requires_grad=False)
    with torch.no_grad():
        output = conv(images)
    conv.eval()
    torch.testing.assert_close(conv(images), output, rtol=0, atol=0)
    conv.train()
    torch.testing.assert_close(conv(images[0]), output[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.vmap(conv)(images[:, None])[:, 0], output)
    program = torch.export.export(conv, (images,))
    assert any("aten.conv2d" in str(node.target) for node in program.graph.nodes)
    assert conv.to(torch.float64)(images.double()).dtype == torch.float64
    assert not native_calls


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("kernel", "native"), [((3, 5), True), ((4, 3), False), ((3, 4), False)])
def test_kernels_without_a_middle_pad_one_side_more_as_torchs(
    kernel: tuple[int, int], native: bool, native_calls: list[str]
) -> None:
    conv = NativeDepthwiseConv2d(CHANNELS, CHANNELS, kernel, padding="same")
    images = _images()
    found = conv(images)
    assert bool(native_calls) == native
    expected = nn.functional.conv2d(images, conv.weight, conv.bias, padding="same", groups=CHANNELS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_wrong_channels_end_in_torchs_words() -> None:
    conv = NativeDepthwiseConv2d(CHANNELS, CHANNELS, 3)
    with pytest.raises(RuntimeError, match=r"expected input.* to have 64 channels"):
        conv(torch.randn(2, 5, 8, 8))


def test_another_padding_goes_to_torch(native_calls: list[str]) -> None:
    conv = NativeDepthwiseConv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="circular")
    images = _images()
    found = _gradients(conv, images)
    assert not native_calls
    wrapped = nn.functional.pad(images, (1, 1, 1, 1), "circular")
    expected = nn.functional.conv2d(wrapped, conv.weight, conv.bias, groups=CHANNELS)
    torch.testing.assert_close(found[0], expected)
