"""`openwork::sparse_conv2d` against torch's dense convolution, and its registrations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.ops import sparse_conv2d
from openwork.patterns import Pattern, random


def _operands(
    pattern: Pattern, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Live weights, gaps, bias, and the dense weight that they stand for."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(pattern.live, generator=generator, dtype=dtype)
    bias = torch.randn(pattern.out_channels, generator=generator, dtype=dtype)
    dense = torch.zeros(pattern.shape, dtype=dtype)
    dense[torch.from_numpy(pattern.taps)] = weight
    return weight, torch.from_numpy(pattern.gaps.copy()), bias, dense


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, object]:
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True)]
    return {
        "batch": draw(st.integers(0, 3)),
        "out": groups * draw(st.integers(1, 4)),
        "in": groups * draw(st.integers(1, 4)),
        "size": [n + draw(st.integers(0, 6)) for n in least],
        "kernel": kernel,
        "geometry": (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), padding, dilation),
        "groups": groups,
        "level": draw(st.sampled_from(["connection", "tap"])),
        "density": draw(st.floats(0, 1)),
        "seed": draw(st.integers(0, 2**20)),
        "bias": draw(st.booleans()),
        "layout": draw(st.sampled_from(["contiguous", "channels_last", "transposed"])),
    }


@settings(deadline=None, max_examples=150)
@given(_cases())
def test_it_computes_what_torch_does_with_the_dense_weight(case: dict) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    shape = (case["out"], case["in"] // case["groups"], *case["kernel"])
    taps = torch.rand(shape, generator=generator) < case["density"]
    if case["level"] == "connection":
        taps = taps[:, :, :1, :1].expand(shape)
    pattern = Pattern(taps.numpy(), case["groups"])
    weight, gaps, bias, dense = _operands(pattern, case["seed"])
    given_bias = bias if case["bias"] else None
    input = torch.randn(
        case["batch"], case["in"], *case["size"], generator=generator, dtype=torch.float64
    )
    if case["layout"] == "channels_last":
        input = input.to(memory_format=torch.channels_last)
    elif case["layout"] == "transposed":
        input = input.transpose(2, 3).contiguous().transpose(2, 3)
    stride, padding, dilation = case["geometry"]
    geometry = (stride, padding, dilation, case["groups"])
    result = sparse_conv2d(input, weight, gaps, given_bias, shape, *geometry)
    # The same dense operator on the same numbers: no rounding may differ.
    assert torch.equal(result, F.conv2d(input, dense, given_bias, *geometry))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("level", ["connection", "tap"])
def test_its_gradients_are_right(
    stride: tuple[int, int], dilation: tuple[int, int], groups: int, level: str
) -> None:
    pattern = random(4, 6, (3, 2), 0.5, groups=groups, seed=1)
    if level == "tap":
        taps = torch.rand(pattern.shape, generator=torch.Generator().manual_seed(0)) < 0.4
        pattern = Pattern(taps.numpy(), groups)
    weight, gaps, bias, _ = _operands(pattern, 2)
    input = torch.randn(2, 6, 5, 6, dtype=torch.float64, requires_grad=True)

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        x, w, b = tensors
        return sparse_conv2d(x, w, gaps, b, pattern.shape, stride, (1, 0), dilation, groups)

    operands = (input, weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(run, operands)
    assert torch.autograd.gradgradcheck(run, operands)


@pytest.mark.parametrize("wanted", ["input", "weight", "bias"])
def test_only_the_wanted_gradients_are_computed(wanted: str) -> None:
    pattern = random(4, 6, 3, 0.5)
    weight, gaps, bias, _ = _operands(pattern, 2)
    operands = {"input": torch.randn(1, 6, 5, 5, dtype=torch.float64), "weight": weight}
    operands["bias"] = bias
    operands[wanted].requires_grad_()
    x, w, b = operands.values()
    result = sparse_conv2d(x, w, gaps, b, pattern.shape, (1, 1), (1, 1), (1, 1), 1)
    result.sum().backward()
    assert [name for name, value in operands.items() if value.grad is not None] == [wanted]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "empty"])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_torch_finds_its_registrations_sound(layout: str, with_bias: bool, groups: int) -> None:
    pattern = random(8, 6, 3, 0.4, groups=groups)
    weight, gaps, bias, _ = _operands(pattern, 3, torch.float32)
    input = torch.randn(0 if layout == "empty" else 2, 6, 9, 7)
    if layout == "channels_last":
        input = input.to(memory_format=torch.channels_last)
    operands = [
        input.requires_grad_(),
        weight.requires_grad_(),
        gaps,
        bias.requires_grad_() if with_bias else None,
        list(pattern.shape),
        [2, 1],
        [1, 2],
        [1, 1],
        groups,
    ]
    outcome = torch.library.opcheck(torch.ops.openwork.sparse_conv2d.default, tuple(operands))
    assert set(outcome.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_to_the_dtype_of_the_block(dtype: torch.dtype) -> None:
    pattern = random(8, 6, 3, 0.4)
    weight, gaps, bias, dense = _operands(pattern, 4, torch.float32)
    weight.requires_grad_()
    input = torch.randn(2, 6, 9, 7)
    with torch.autocast("cpu", dtype):
        result = sparse_conv2d(input, weight, gaps, bias, pattern.shape, (1, 1), (0, 0), (1, 1), 1)
        assert torch.equal(result, F.conv2d(input, dense, bias))
    result.float().sum().backward()
    assert result.dtype == dtype
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
