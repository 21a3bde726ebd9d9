"""Max pooling on the native kernels: torch's bits, forward and backward."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from openwork.kernels.native import extension, reason_missing
from openwork.ops.max_pool2d import Pair, max_pool2d, native_takes

pytestmark = pytest.mark.skipif(reason_missing is not None, reason=str(reason_missing))

# Kernel, stride and padding.
WINDOWS: list[tuple[Pair, Pair, Pair]] = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 3), (1, 1), (1, 1)),
    ((2, 2), (1, 1), (1, 1)),
    ((3, 2), (2, 2), (1, 0)),
    ((2, 3), (3, 1), (0, 1)),
    ((1, 1), (2, 2), (0, 0)),
    ((5, 4), (3, 3), (2, 2)),
    ((2, 2), (2, 2), (1, 0)),
    ((3, 15), (1, 4), (0, 7)),
]
SHAPES = [(2, 3, 8, 32), (3, 2, 7, 33), (1, 1, 3, 20), (2, 5, 4, 15), (1, 2, 5, 1300)]


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param not in extension.usable_isas():
        pytest.skip(f"{request.param} is not usable here")
    monkeypatch.setenv("OPENWORK_ISA", request.param)
    assert extension.chosen_isa() == request.param
    return str(request.param)


def _maps(shape: tuple[int, ...], kind: str) -> torch.Tensor:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if kind == "ties":
        return maps.round()
    if kind == "not finite":
        maps[maps.abs() < 0.2] = float("nan")
        maps[maps > 1] = float("inf")
        maps[..., : shape[-1] // 2][maps[..., : shape[-1] // 2] < 1] = float("-inf")
    return maps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "ties", "not finite"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_outputs_and_gradients_are_torchs_bits(
    isa: str, window: tuple[Pair, Pair, Pair], kind: str, dtype: torch.dtype
) -> None:
    tried = 0
    for shape in SHAPES:
        ours, torchs = (_maps(shape, kind).to(dtype).requires_grad_() for _ in range(2))
        if not native_takes(ours, *window, (1, 1), False):
            continue
        tried += 1
        found, expected = max_pool2d(ours, *window), F.max_pool2d(torchs, *window)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        upstream = torch.randn(found.shape).to(dtype)
        found.backward(upstream)
        expected.backward(upstream)
        assert ours.grad is not None
        assert torchs.grad is not None
        assert torch.equal(ours.grad, torchs.grad)
        assert upstream.sum() != 0 != ours.grad.abs().sum()
    assert tried >= 3


def test_autocast_leaves_the_type() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        maps = _maps((2, 3, 8, 8), "random").to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            assert native_takes(maps, (2, 2), (2, 2), (0, 0), (1, 1), False)
            found = max_pool2d(maps, (2, 2), (2, 2), (0, 0))
            expected = F.max_pool2d(maps, 2)
        assert found.dtype == expected.dtype == dtype
        assert torch.equal(found, expected)


def test_threads_change_nothing() -> None:
    maps, threads = _maps((5, 7, 9, 11), "ties"), torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            given = maps.clone().requires_grad_()
            max_pool2d(given, (3, 3), (2, 2), (1, 1)).square().sum().backward()
        finally:
            torch.set_num_threads(threads)
        results.append(given.grad)
    one, three = results
    assert one is not None
    assert three is not None
    assert torch.equal(one, three)


def test_gradients_of_any_layout_are_taken() -> None:
    for upstream in (
        torch.ones(()).expand(2, 3, 4, 5),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(2, 3, 5, 4).transpose(2, 3),
    ):
        ours, torchs = (_maps((2, 3, 8, 10), "random").requires_grad_() for _ in range(2))
        max_pool2d(ours, (2, 2), (2, 2), (0, 0)).backward(upstream)
        F.max_pool2d(torchs, 2).backward(upstream)
        assert ours.grad is not None
        assert torchs.grad is not None
        assert torch.equal(ours.grad, torchs.grad)


def test_gradients_of_gradients_are_torchs() -> None:
    found: list[torch.Tensor] = []
    for pool in (
        lambda x: max_pool2d(x, (3, 3), (2, 2), (1, 1)),
        lambda x: F.max_pool2d(x, 3, 2, 1),
    ):
        maps = _maps((2, 3, 7, 9), "random").requires_grad_()
        (gradient,) = torch.autograd.grad(pool(maps).pow(3).sum(), maps, create_graph=True)
        (second,) = torch.autograd.grad(gradient.pow(2).sum(), maps)
        found.append(second)
    assert found[0].abs().sum() > 0
    torch.testing.assert_close(found[0], found[1])


def test_what_the_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = _maps((2, 3, 8, 8), "random")

    def takes(maps: torch.Tensor = maps, **changed: Any) -> bool:
        call = {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 0), "dilation": (1, 1)}
        return native_takes(maps, **{**call, "ceil_mode": False, **changed})

    assert takes()
    assert takes(kernel=(8, 8))
    assert not takes(kernel=(9, 8))
    assert takes(kernel=(2, 2), pad=(1, 1))
    assert not takes(kernel=(2, 2), pad=(0, 2))
    assert not takes(kernel=(2, 2), pad=(0, -1))
    assert not takes(stride=(0, 1))
    assert not takes(kernel=(16, 16), maps=_maps((1, 1, 16, 16), "random"))
    assert takes(kernel=(15, 17), maps=_maps((1, 1, 16, 17), "random"))
    assert not takes(dilation=(1, 2))
    assert not takes(ceil_mode=True)
    assert takes(maps.bfloat16())
    assert not takes(maps.half())
    assert not takes(maps.double())
    assert not takes(maps[0])
    assert not takes(maps[:0])
    assert not takes(maps.to(memory_format=torch.channels_last))
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "reference")
    assert not takes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel": (0, 2)}, "`kernel_y`=0"),
        ({"pad": (0, 2)}, "`pad_x`=2"),
        ({"stride": (0, 2)}, "`stride_y`=0"),
        ({"stride": (2, 9)}, "last window lies outside"),
        ({"kernel": (16, 16)}, "`kernel_y \\* kernel_x`=256"),
        ({"threads": 0}, "`threads`=0"),
        ({"tap": torch.zeros(2, 3, 4, 5, dtype=torch.uint8)}, "`tap` has shape"),
        ({"grad_input": torch.zeros(1, 3, 8, 8)}, "`gradient` has shape"),
        ({"tap": torch.full((2, 3, 4, 4), 4, dtype=torch.uint8)}, "names a value outside the map"),
        ({"tap": torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)}, "outside the map"),
    ],
)
def test_the_boundary_refuses_what_would_leave_the_arrays(
    changed: dict[str, Any], message: str
) -> None:
    call: dict[str, Any] = {
        "gradient": torch.zeros(2, 3, 4, 4),
        "tap": torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        "grad_input": torch.zeros(2, 3, 8, 8),
        "kernel": (2, 2),
        "stride": (2, 2),
        "pad": (0, 0),
        "threads": 1,
    }
    call = {**call, **changed}
    arrays: dict[str, Any] = {
        k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in call.items()
    }
    with pytest.raises(ValueError, match=message):
        extension.max_pool2d_backward(extension.chosen_isa(), **arrays)
