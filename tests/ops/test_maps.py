"""Which maps the kernels of norms and pools take."""

import pytest
import torch

from openwork.kernels.native import reason_missing
from openwork.ops.maps import are_native


def test_contiguous_float32_maps_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(2, 3, 4, 5)
    assert are_native(maps, maps) is (reason_missing is None)
    others = [maps.double(), maps[0], maps[:0], maps.to("meta"), maps.transpose(2, 3)]
    others.append(maps.to(memory_format=torch.channels_last))
    assert not any(are_native(each) or are_native(maps, each) for each in others)
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "reference")
    assert not are_native(maps)
    assert torch.vmap(lambda x: x if are_native(x) else x + 1)(maps).sub(maps).abs().sum() > 1


def test_transforms_of_torch_func_need_torchs_operators() -> None:
    assert not torch.vmap(lambda x: torch.tensor(are_native(x[None])))(torch.randn(2, 3, 4)).any()
