"""Rooms tell `save` and `load` of modules that are kept in another way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from openwork.io import kinds, load, save
from openwork.io.kinds import Kind, Tensors, kind_named, kind_of, register


class _Doubled(nn.Module):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor


def _describe(model: _Doubled) -> tuple[Tensors, dict[str, Any]]:
    return {}, {"factor": model.factor}


def _restore(tensors: Tensors, header: Mapping[str, Any]) -> nn.Module:
    return _Doubled(header["factor"])


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
    made = Kind("doubled", _Doubled, _describe, _restore)
    register(made)
    return made


def test_a_kind_is_found_by_its_class_and_its_name(kind: Kind) -> None:
    assert kind_of(_Doubled(2)) is kind
    assert kind_named("doubled") is kind
    assert kind_of(nn.Linear(1, 1)) is None
    assert kind_named("no such") is None


def test_save_and_load_use_it(kind: Kind, tmp_path: Path) -> None:
    save(_Doubled(7), tmp_path / "m")
    back = load(tmp_path / "m")
    assert isinstance(back, _Doubled)
    assert back.factor == 7


@pytest.mark.parametrize(
    ("name", "kind"), [("compiled", "CompiledModel"), ("quantized", "QuantizedNetwork")]
)
def test_other_networks_are_known_without_importing_their_rooms(name: str, kind: str) -> None:
    found = kind_named(name)
    assert found is not None
    assert found.type.__name__ == kind
