"""`NativeMaxPool2d`: a torch module in all but speed."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from openwork.kernels.native import extension, reason_missing
from openwork.nn import NativeMaxPool2d


@pytest.fixture
def native_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each forward pass that ran on native kernels."""
    if reason_missing is not None:
        pytest.skip(reason_missing)
    calls: list[int] = []
    function = extension.max_pool2d_forward

    def run(*args: Any, **options: Any) -> None:
        calls.append(1)
        function(*args, **options)

    monkeypatch.setattr(extension, "max_pool2d_forward", run)
    return calls


@pytest.mark.parametrize(
    ("options", "native"),
    [
        ({"kernel_size": 2}, True),
        ({"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}, True),
        ({"kernel_size": 3, "stride": 1, "dilation": 2}, False),
        ({"kernel_size": 3, "stride": 2, "ceil_mode": True}, False),
        ({"kernel_size": 2, "return_indices": True}, False),
    ],
    ids=str,
)
def test_it_is_torchs_module(
    options: dict[str, Any], native: bool, native_calls: list[int]
) -> None:
    torchs, images = nn.MaxPool2d(**options).eval(), torch.randn(2, 3, 9, 10)
    ours = NativeMaxPool2d.from_pool(torchs)
    torch.testing.assert_close(ours(images), torchs(images), rtol=0, atol=0)
    assert len(native_calls) == native
    assert isinstance(ours, nn.MaxPool2d)
    assert not ours.training
    assert ours.extra_repr() == torchs.extra_repr()
    back = ours.to_pool()
    assert type(back) is nn.MaxPool2d
    assert back.extra_repr() == torchs.extra_repr()


def test_single_images_and_other_types_go_to_torch(native_calls: list[int]) -> None:
    pool, images = NativeMaxPool2d(2), torch.randn(2, 3, 8, 8)
    assert torch.equal(pool(images[0]), pool(images)[0])
    assert pool(images.double()).dtype == torch.float64
    assert len(native_calls) == 1


def test_wrong_windows_end_in_torchs_words() -> None:
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        NativeMaxPool2d(2, padding=2)(torch.randn(2, 3, 8, 8))
    with pytest.raises(RuntimeError, match="Output size is too small"):
        NativeMaxPool2d(9)(torch.randn(2, 3, 8, 8))


def test_export_and_transforms_see_torchs_operator() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), NativeMaxPool2d(2))
    images = torch.randn(2, 3, 8, 8)
    program = torch.export.export(model, (images,))
    assert any("max_pool2d" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(images), model(images))
    torch.testing.assert_close(torch.vmap(model[1])(images), copy.deepcopy(model[1])(images))
