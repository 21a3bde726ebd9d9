"""How the results of a file are nested, and its batch sizes."""

from collections import OrderedDict
from typing import Any

import pytest

from openwork._nested import nest
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.decode import Decoder
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.read_network import read_batches, read_nesting

DECODER = Decoder({}, [])


def test_results_are_put_in_their_places() -> None:
    nesting = OrderedDict(b=[0, (1,)], a={"x": 2, "y": ()})
    encoded = {"nesting": Encoder().encode(nesting)}
    assert read_nesting(encoded, DECODER, 3) == nesting
    found = nest(nesting, lambda number: "abc"[number])
    assert found == OrderedDict(b=["a", ("b",)], a={"x": "c", "y": ()})
    assert type(found) is OrderedDict
    assert type(found["b"][1]) is tuple


@pytest.mark.parametrize(
    "nesting", [[0], [0, 1, 2], [1, 0], [0, 0], [0, True], [0, None], [0, "1"], 0], ids=str
)
def test_every_result_is_named_once_and_in_order(nesting: Any) -> None:
    with pytest.raises(MalformedFile, match="the numbers of 2 results"):
        read_nesting({"nesting": nesting}, DECODER, 2)


def test_older_files_hold_one_batch_size_or_none() -> None:
    assert read_batches({"batch": None}, DECODER) == BatchSizes()
    assert read_batches({"batch": 4}, DECODER) == BatchSizes.of(4)
    encoded = Encoder().encode((2, None, ("batch % 2 == 0",)))
    assert read_batches({"batch": None, "batches": encoded}, DECODER) == BatchSizes(
        2, None, ("batch % 2 == 0",)
    )
    for header in ({"batch": True}, {"batch": None, "batches": Encoder().encode((3, 2, ()))}):
        with pytest.raises(MalformedFile, match="batch"):
            read_batches(header, DECODER)
