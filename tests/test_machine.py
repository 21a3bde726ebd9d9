"""Devices by name."""

import pytest
import torch

from openwork._machine import device_named
from openwork.errors import ArgumentError


@pytest.mark.parametrize("usable", [False, True])
def test_auto_is_the_gpu_if_torch_can_use_one(
    usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    assert device_named("auto") == ("cuda" if usable else "cpu")
    assert device_named("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="no CUDA device"):
        device_named("cuda")


def test_other_names_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`device`='tpu' must be one of 'auto', 'cpu', 'cuda'"):
        device_named("tpu")
