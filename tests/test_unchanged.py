"""`unchanged`: a network that ran is as it was, and so is all that a walk from it reaches."""

import functools
import threading
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from openwork._unchanged import alone, unchanged
from openwork.walk import walk

X = torch.ones(2, 3)
TABLE: dict[str, Any] = {"first": 1}
COUNT = 0
KERNEL = torch.zeros(2)
MODULE = types.ModuleType("their_helpers")
MODULE.cache = {}  # type: ignore[attr-defined]


def grid(scale: int) -> None:
    global COUNT, LATER
    COUNT, LATER = COUNT + scale, scale
    MODULE.cache["grid"] = scale
    TABLE["grid"] = scale
    grid.calls = scale  # type: ignore[attr-defined]
    KERNEL.add_(scale)


class Slotted:
    """Keeps what it holds in slots."""

    __slots__ = ("__own", "one", "two")

    def __init__(self) -> None:
        self.one, self.__own = 1, 1

    def change(self) -> None:
        self.two, self.__own = 2, 2
        del self.one

    def all(self) -> tuple[Any, ...]:
        return getattr(self, "one", None), getattr(self, "two", None), self.__own


class Table:
    """A helper, whose class keeps something too."""

    shared: ClassVar[list[int]] = [0]

    def __init__(self) -> None:
        self.rows = {"a": [1, {2}]}

    def change(self) -> None:
        self.rows["a"][1].add(3)
        self.rows["a"].append(4)
        del self.rows["a"]
        self.shared.append(1)
        Table.shared = [5]
        Table.new = 1  # type: ignore[attr-defined]


class Busy(nn.Module):
    """Stores things wherever it can."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.gone, self.table, self.slotted = 1, Table(), Slotted()
        self.held = [deque([1], maxlen=3), OrderedDict(a=1), defaultdict(list), (Table(),)]
        self.local = threading.local()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = self.layer(x)
        self.calls += 1
        self.layer.extra = self.kept
        vars(self.layer.weight)["seen"] = x
        del self.gone
        type(self).steps += 1
        self.table.change()
        self.slotted.change()
        self.held[0].extend([2, 3, 4])
        self.held[1]["b"] = 2
        self.held[2]["c"].append(1)
        self.held[3][0].rows["b"] = 1
        self.held.pop()
        self.local.kept = x
        self.layer.register_forward_hook(print)
        self.register_buffer("late", x)
        grid(3)
        return self.kept


def test_all_that_a_network_stores_is_put_back() -> None:
    model = Busy()
    held, table, third = model.held, model.table, model.held[3]
    shared = Table.shared
    with unchanged(model):
        model(X)
        assert (COUNT, TABLE["grid"], int(KERNEL[0])) == (3, 3, 3)
    assert not hasattr(model, "kept")
    assert not hasattr(model.layer, "extra")
    assert not hasattr(model.layer.weight, "seen")
    assert not hasattr(model.local, "kept")
    assert (model.calls, model.gone, Busy.steps) == (0, 1, 0)
    assert list(model.state_dict()) == ["calls", "layer.weight", "layer.bias"]
    assert not model.layer._forward_hooks
    assert model.table is table
    assert (table.rows, Table.shared) == ({"a": [1, {2}]}, [0])
    assert Table.shared is shared
    assert not hasattr(Table, "new")
    assert model.slotted.all() == (1, None, 1)
    assert model.held is held
    assert held == [deque([1]), {"a": 1}, {}, third]
    assert third[0].rows == {"a": [1, {2}]}


def test_globals_that_its_code_names_are_put_back() -> None:
    with unchanged(Busy()):
        grid(5)
    assert (COUNT, TABLE, KERNEL.tolist()) == (0, {"first": 1}, [0, 0])
    assert "LATER" not in globals()
    assert MODULE.cache == {}  # type: ignore[attr-defined]
    assert not hasattr(grid, "calls")


class Calling(nn.Module):
    """Calls whatever it is given."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function


def _closure() -> tuple[Callable[[], None], Callable[[], Any]]:
    count, seen = 0, [0]

    def change() -> None:
        nonlocal count
        count += 1
        seen.append(count)

    return change, lambda: (count, seen)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda change: change,
        partial,
        torch.no_grad(),
        lambda change: lambda: change(),
        lambda change: types.MethodType(lambda _: change(), 3),
        lambda change: [{"deep": (change,)}],
    ],
)
@pytest.mark.parametrize("hooked", [False, True])
def test_variables_of_closures_are_put_back(wrap: Any, hooked: bool) -> None:
    change, state = _closure()
    model = nn.ReLU() if hooked else Calling(wrap(change))
    if hooked:
        model.register_forward_hook(partial(wrap, change))
    with unchanged(model):
        change()
        assert state() == (1, [0, 1])
    assert state() == (0, [0])


class Decorated(nn.Module):
    """Its helpers are methods of every kind, one of them cached."""

    seen: ClassVar[list[Any]] = []

    @staticmethod
    @functools.lru_cache
    def table(size: int) -> torch.Tensor:
        return torch.ones(size)

    @classmethod
    def see(cls, x: object) -> None:
        cls.seen.append(x)

    @property
    def one(self) -> int:
        LOG.append(1)
        return 1


LOG: list[int] = []


def test_caches_that_grew_are_cleared_and_others_are_not() -> None:
    model, before = Decorated(), Decorated.table(3)
    with unchanged(model):
        assert model.table(3) is before
    assert Decorated.table(3) is before
    with unchanged(model):
        model.table(4)
    assert Decorated.table.cache_info().currsize == 0


def test_methods_of_every_kind_are_looked_into() -> None:
    model = Decorated()
    with unchanged(model):
        model.see(3)
        assert model.one == 1
    assert (Decorated.seen, LOG) == ([], [])


def test_it_is_put_back_after_an_error_too() -> None:
    model = Busy()

    def fail() -> None:
        with unchanged(model):
            model(X)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (model.calls, COUNT) == (0, 0)


def test_parameters_get_back_their_memory_with_what_was_written_into_it() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.data_ptr()
    with unchanged(layer), torch.no_grad():
        layer.bias.fill_(7)
        layer.weight.data = torch.sign(layer.weight.data)
    assert layer.weight.data_ptr() == before
    assert 0 < layer.weight.abs().max() < 1
    assert layer.bias.tolist() == [7, 7]


def test_buffers_that_were_given_other_memory_get_back_theirs() -> None:
    norm = nn.BatchNorm1d(2)
    with unchanged(norm):
        norm.running_mean.data = torch.full((3,), 5.0)  # type: ignore[union-attr]
        norm.running_var.data.mul_(2)  # type: ignore[union-attr]
        norm.running_var.add_(1)  # type: ignore[union-attr]
    assert [buffer.tolist() for buffer in norm.buffers()] == [[0, 0], [1, 1], 0]


def test_one_thread_at_a_time() -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with alone(), unchanged(nn.ReLU()):
            inside += 1
            most = max(most, inside)
            assert torch.ones(100, 100).mm(torch.ones(100, 100)).max() == 100
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


class Computed(Slotted):
    """Computes, in the place of a slot, what cannot be set."""

    @property
    def one(self) -> list[int]:  # type: ignore[override]
        return []

    def __init__(self) -> None:
        pass


def test_a_property_in_the_place_of_a_slot_is_left_alone() -> None:
    model = nn.ReLU()
    model.helper = held = Computed()  # type: ignore[assignment]
    held.two = 1  # type: ignore[attr-defined]
    with unchanged(model):
        held.two = 2  # type: ignore[attr-defined]
    assert held.two == 1  # type: ignore[attr-defined]


def test_a_buffer_that_gradients_were_written_into_is_a_leaf_again() -> None:
    model = nn.ReLU()
    model.register_buffer("seen", torch.zeros(2))
    seen, x = model.get_buffer("seen"), torch.ones(2, requires_grad=True)
    with unchanged(model):
        seen.copy_(2 * x)
    assert seen.is_leaf
    assert not seen.requires_grad
    assert torch.equal(seen, torch.zeros(2))


class _Asserts(nn.Module):
    """Keeps a number at the end of many lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: Any = functools.reduce(lambda inner, _: [inner], range(60), [0])

    def count(self) -> list[int]:
        found = self.lists
        while isinstance(found[0], list):
            found = found[0]
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.numel() > 0
        self.count()[0] += 1
        return x


def test_what_pytest_makes_of_an_assert_is_not_walked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Enough for the network and what its code names, and far from enough for all that pytest holds.
    monkeypatch.setattr(walk, "_MOST", 2_000)
    model = _Asserts()
    with unchanged(model):
        model(X)
        assert model.count() == [1]
    assert model.count() == [0]
