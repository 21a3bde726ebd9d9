"""Which maps the kernels of norms and pools take."""

import pytest
import torch

from openwork.errors import ArgumentError
from openwork.kernels.native import reason_missing
from openwork.nn import SparseConv2d
from openwork.ops import maps, native
from openwork.ops.maps import are_native
from openwork.patterns import random


def test_contiguous_maps_of_one_type_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 4, 5)
    assert are_native(x, x) is (reason_missing is None)
    assert are_native(x.bfloat16(), x.bfloat16()) is (reason_missing is None)
    assert not are_native(x, x.bfloat16())
    others = [x.half(), x.double(), x[0], x[:0], x.to("meta"), x.transpose(2, 3)]
    others.append(x.to(memory_format=torch.channels_last))
    assert not any(are_native(each) or are_native(x, each) for each in others)
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "reference")
    assert not are_native(x)
    assert torch.vmap(lambda y: y if are_native(y) else y + 1)(x).sub(x).abs().sum() > 1


def test_what_is_asked_for_is_checked_without_kernels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "fastest")
    layer = SparseConv2d(random(4, 4, 3, 0.5))
    for module in (maps, native):
        monkeypatch.setattr(module, "reason_missing", "there is no compiler")
    with pytest.raises(ArgumentError, match="='fastest' must be one of"):
        are_native(torch.randn(2, 3, 4, 5))
    with pytest.raises(ArgumentError, match="='fastest' must be one of"):
        layer(torch.randn(1, 4, 32, 32))


def test_transforms_of_torch_func_need_torchs_operators() -> None:
    assert not torch.vmap(lambda x: torch.tensor(are_native(x[None])))(torch.randn(2, 3, 4)).any()
