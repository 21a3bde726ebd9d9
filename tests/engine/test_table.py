"""The table of a compiled network."""

import numpy as np
import pytest
import torch

from openwork.engine.fallback import Fallback
from openwork.engine.runners import Choice
from openwork.engine.table import COLUMNS, fallback_notes, layer_row, layer_table
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import Add, Conv
from openwork.runtime.values import Value

X, Y, Z = (Value((2, 5, 6), name) for name in "xyz")


@pytest.fixture
def conv() -> Conv:
    """9 of 36 taps are live."""
    window = (1, 1), (1, 1), (1, 1)
    weight = np.ones(9, np.float32)
    return Conv([X], Y, "stem", (5, 6), (2, 2, 3, 3), *window, 1, np.arange(9), weight, None)


def test_a_measured_layer_has_milliseconds_and_their_ratio(conv: Conv) -> None:
    row = layer_row(conv, Choice("f32-conv-taps", 0.25, 0.5))
    assert row == ("stem", "2x2x3x3", "5x6", 0.25, "f32-conv-taps", 250.0, 500.0, 2.0)


@pytest.mark.parametrize("times", [(None, None), (0.25, None), (None, 0.5)])
def test_a_given_layer_has_no_times(conv: Conv, times: tuple[float | None, float | None]) -> None:
    assert layer_row(conv, Choice("torch", *times))[4:] == ("torch", None, None, None)


def test_the_table_holds_rows_and_notes_in_order(conv: Conv) -> None:
    rows = [layer_row(conv, Choice(name, 0.25, 0.5)) for name in ("one", "two")]
    table = layer_table(iter(rows), iter(["first", "second"]))
    assert table.columns == COLUMNS
    assert table.rows == tuple(rows)
    assert table.notes == ("first", "second")
    assert table.column("kernel") == ["one", "two"]
    assert table.column("torch ms") == [500.0, 500.0]


def test_operators_left_to_torch_are_counted_by_reason() -> None:
    def left(reason: str) -> Fallback:
        return Fallback([X], Z, torch.ops.aten.gelu.default, (X,), {}, reason)

    nodes = [left("gelu: unknown"), Add([X], Y), left("mean: axes"), left("gelu: unknown")]
    assert fallback_notes(Graph([X], [Z], nodes)) == [
        "left to torch, 2 times: gelu: unknown",
        "left to torch, 1 time: mean: axes",
    ]
    assert fallback_notes(Graph([X], [Y], [Add([X], Y)])) == []
