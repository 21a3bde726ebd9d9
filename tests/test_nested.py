"""Nested results: taken apart, put together again as they were, matched with others."""

import enum
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from openwork._nested import Misfit, Typed, flatten, match, nest, paths_of, plain

Pair = namedtuple("Pair", "a b")


@dataclass
class Box:
    """A dataclass whose construction would fail if it ran."""

    corner: Any
    size: Any = field(init=False)

    def __post_init__(self) -> None:
        raise AssertionError


@dataclass(frozen=True, slots=True)
class Slots:
    first: Any
    second: Any


class Items(list):
    pass


class Output(OrderedDict):
    """A dict whose items are attributes too, as in transformers."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)


class Mode(enum.Enum):
    ON = 1


def _box() -> Box:
    box = object.__new__(Box)
    box.corner, box.size = 1, [2, 3]
    return box


TREES = {
    "leaf": 5,
    "plain": ({"a": [1, (2,)]}, OrderedDict(b=3), []),
    "named tuple": Pair(1, [2]),
    "dataclass": _box(),
    "slots": Slots((1, 2), 3),
    "list": Items([1, Items([2])]),
    "default": defaultdict(None, {"a": [1], "b": [2, 3]}),
    "known to torch": deque([1, (2, 3)]),
    "sizes": torch.Size([4, 5]),
    "returned": torch.return_types.max((torch.ones(2), torch.zeros(2))),
    "deep": {"x": [Pair(_box(), Slots(1, {"y": Items([2])})), Mode.ON]},
}


@pytest.mark.parametrize("name", TREES)
def test_what_is_taken_apart_is_put_together_again(name: str) -> None:
    tree = TREES[name]
    leaves, nesting = flatten(tree)
    again = nest(nesting, leaves.__getitem__)
    assert type(again) is type(tree)
    assert flatten(again) == (leaves, nesting)
    assert repr(again) == repr(tree)
    assert match(nesting, tree) == leaves


def test_attributes_that_are_items_stay_the_same_objects() -> None:
    output: Any = Output(logits=torch.ones(1))
    output.extra = torch.zeros(2)
    leaves, nesting = flatten(output)
    assert [tensor.numel() for tensor in leaves] == [1, 2]
    again = nest(nesting, leaves.__getitem__)
    assert list(again) == ["logits"]
    assert again.logits is again["logits"] is output["logits"]
    assert again.extra is output.extra


def test_plain_data_in_the_place_of_classes() -> None:
    _, nesting = flatten({"a": Pair(1, 2), "b": _box()})
    assert isinstance(nesting["a"], Typed)
    assert plain(nesting) == {"a": (0, 1), "b": {"corner": 2, "size": [3, 4]}}
    paths = paths_of(nesting, "x")
    assert [paths[0], paths[4]] == ["x['a'][0]", "x['b']['size'][1]"]


def test_entries_may_come_in_another_order() -> None:
    _, nesting = flatten({"x": {"a": 1, "b": 2}})
    assert match(nesting, {"x": {"b": "second", "a": "first"}}) == ["first", "second"]
    assert match(flatten((1, [2]))[1], [3, (4,)]) == [3, 4]


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ({"x": 1}, {"y": 1}, r"is the keys \['y'\], not a dict of \['x'\]"),
        ({"x": (1, 2)}, {"x": (1,)}, "^x is 1 items, not 2 items in a tuple"),
        ({"x": [1]}, {"x": 3}, "^x is int, not 1 items in a list"),
        ({"x": {"y": 1}}, {"x": [1]}, r"^x is list, not a dict of \['y'\]"),
        ({"x": Pair(1, 2)}, {"x": (1, 2)}, "^x is a tuple, not a Pair"),
    ],
)
def test_other_nestings_are_misfits(tree: Any, other: Any, message: str) -> None:
    with pytest.raises(Misfit, match=message):
        match(flatten(tree)[1], other)
