"""Plain data as a file holds it, and back."""

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from openwork.patterns import random
from openwork.runtime.decode import Decoder
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.values import Alias, Value

DATA = [
    None,
    [1, 2.5, float("inf"), "text", True],
    ((), (1, [2])),
    {"a": 1, 2: [None]},
    OrderedDict(b=1, a=2),
]


@pytest.mark.parametrize("item", DATA, ids=str)
def test_data_comes_back(item: Any) -> None:
    encoder = Encoder()
    text = json.dumps(encoder.encode(item))
    decoded = Decoder(encoder.tensors, encoder.values).decode(json.loads(text))
    assert decoded == item
    assert type(decoded) is type(item)


def test_arrays_patterns_and_values_come_back() -> None:
    value = Value((2, 3), "x")
    view = Alias(value, (6,))
    pattern = random(4, 4, 3, 0.5)
    item = [np.arange(3.0), pattern, view, value, view]
    encoder = Encoder()
    encoded = json.loads(json.dumps(encoder.encode(item)))
    decoder = Decoder(encoder.tensors, json.loads(json.dumps(encoder.values)))
    array, same, alias, base, again = decoder.decode(encoded)
    assert np.array_equal(array, item[0])
    assert same == pattern
    assert again is alias
    assert alias.of is base
    assert (alias.shape, base.shape, base.name) == ((6,), (2, 3), "x")


@pytest.mark.parametrize(
    "item",
    [
        *({}, {"tuple": 1}, {"a": 1}, {"value": 0}, {"value": True}, {"tensor": "no"}),
        *({"dtype": "load"}, {"device": "cuda"}, {"dict": 3}),
        *({"pattern": [[4, 1 << 40], 1, True, "t"]}, {"pattern": [[0, 4], 1, True, "t"]}),
        *({"tuple": [], "list": []}, [[{"value": -1}]]),
    ],
    ids=str,
)
def test_other_forms_are_refused(item: Any) -> None:
    with pytest.raises(MalformedFile):
        Decoder({"t": np.ones(2, dtype=np.uint8)}, []).decode(item)


@pytest.mark.parametrize(
    "values",
    [
        [{"name": "x", "shape": [1 << 20, 1 << 20]}],
        [{"name": "x", "shape": [2.0]}],
        [{"name": "x", "shape": [-2]}],
        [{"name": 3, "shape": [2]}],
        [{"name": "x", "shape": [6], "of": 0}],
        [{"name": "x", "shape": [6]}, {"name": "x", "shape": [5], "of": 0}],
        [{"name": "x", "shape": [-1]}, {"name": "x", "shape": [1], "of": 0}],
    ],
    ids=str,
)
def test_damaged_values_are_refused(values: Any) -> None:
    with pytest.raises(MalformedFile):
        Decoder({}, values)


def test_a_container_of_another_class_is_the_plain_one_inside() -> None:
    """Numpy alone knows no class of the user's."""
    content = {"dict": [["boxes", 0], ["rest", {"typed": ["m", "Pair", {"tuple": [1]}, None]}]]}
    item = {"typed": ["package.module", "Output", content, [{"dict": []}, {"dict": []}]]}
    assert Decoder({}, []).decode(item) == {"boxes": 0, "rest": (1,)}
    with pytest.raises(MalformedFile, match="3 must be a container"):
        Decoder({}, []).decode({"typed": ["m", "C", 3, None]})
