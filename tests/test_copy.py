"""`copied`: networks that are hard to copy are copied all the same, and what cannot be is named."""

import copy
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from channel_networks import Plain
from parts import part, tensor
from torch import nn

from openwork._copy import copied
from openwork.compact import compact
from openwork.errors import ArgumentError
from openwork.io import save

EXAMPLE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_a_copy_shares_no_tensors() -> None:
    model = Plain()
    model.cache = model.stem(EXAMPLE)
    twin = copied(model)
    assert torch.equal(tensor(twin, "cache"), tensor(model, "cache"))
    assert tensor(twin, "cache").is_leaf
    tensors = [{t.data_ptr() for t in net.state_dict().values()} for net in (model, twin)]
    assert not tensors[0] & tensors[1]
    assert torch.equal(twin(EXAMPLE), model(EXAMPLE))


def test_models_that_hold_computed_tensors_are_copied() -> None:
    model: Any = Plain()
    model.cache = [model.stem(EXAMPLE), {"weight": model.head.weight * 2}]
    assert part(compact(model, EXAMPLE)[0], "stem", nn.Conv2d).out_channels == 5


class Refuses:
    """Cannot be copied, and says so in its own way."""

    def __deepcopy__(self, memo: object) -> "Refuses":
        raise KeyError("no")


class HalfWay:
    """Says what it holds, and fails only when it is made again."""

    def __setstate__(self, state: object) -> None:
        raise OSError("gone")


@pytest.mark.parametrize(
    "held",
    [
        threading.Lock(),
        threading.local(),
        (n for n in range(3)),
        memoryview(b"abc"),
        {"one": [threading.RLock()]}.values(),
        Refuses(),
    ],
    ids=lambda held: type(held).__name__,
)
def test_what_python_cannot_copy_is_shared(held: object) -> None:
    model: Any = Plain()
    model.norm.held = held
    twin: Any = copied(model)
    assert twin.norm.held is held
    assert twin.norm is not model.norm
    assert twin.stem.weight.data_ptr() != model.stem.weight.data_ptr()


def test_what_surrounds_them_is_copied() -> None:
    model: Any = Plain()
    lock, half = threading.Lock(), HalfWay()
    half.held = 1  # type: ignore[attr-defined]
    trainer = SimpleNamespace(model=model, locks=[lock], best=model.stem.weight * 2, half=half)
    model.trainer = trainer
    model.condition = threading.Condition(lock)
    twin: Any = copied(model)
    assert twin.trainer is not trainer
    assert twin.trainer.model is twin
    assert twin.trainer.locks is not trainer.locks
    assert twin.trainer.locks[0] is lock
    assert twin.trainer.half is half
    assert torch.equal(twin.trainer.best, model.stem.weight * 2)
    assert twin.trainer.best.is_leaf
    assert twin.condition is not model.condition


def test_an_open_file_is_shared() -> None:
    model: Any = Plain()
    with open(__file__) as file:
        model.log = file
        assert copied(model).log is file  # type: ignore[attr-defined]


def test_layers_that_copy_themselves_are_copied_with_what_they_cannot_copy() -> None:
    model: Any = Plain()
    nn.utils.parametrizations.weight_norm(model.head)
    model.head.lock = threading.Lock()
    with pytest.raises(TypeError, match="pickle"):
        copy.deepcopy(model)
    twin = copied(model)
    assert twin.head is not model.head
    assert twin.head.lock is model.head.lock
    assert torch.equal(twin(EXAMPLE), model(EXAMPLE))


def test_what_is_held_twice_is_held_twice() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    model.again, model[1].weight, model.lock = model[0], model[0].weight, threading.Lock()
    twin: Any = copied(model)
    assert twin.again is twin[0]
    assert twin[1].weight is twin[0].weight
    assert twin[0].weight is not model[0].weight


class Whole(nn.Module):
    """A module that cannot be copied: sharing it would share what is cut."""

    def __deepcopy__(self, memo: object) -> "Whole":
        raise RuntimeError("there is one only")


def test_a_module_that_cannot_be_copied_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"cannot be copied: .*RuntimeError: there is one only"):
        copied(nn.Sequential(Whole()))
    model: Any = nn.Sequential(nn.ReLU())
    model[0].held = [Whole()]
    with pytest.raises(ArgumentError, match=r"`0\.held` \(RuntimeError"):
        copied(model)


@pytest.mark.parametrize("verb", [copied, lambda model: save(model, "never.safetensors")])
def test_lazy_layers_must_have_run(verb: Callable[[nn.Module], Any]) -> None:
    with pytest.raises(ArgumentError, match=r"'1\.weight' of a lazy layer has no shape yet; run"):
        verb(nn.Sequential(nn.ReLU(), nn.LazyLinear(3)))
