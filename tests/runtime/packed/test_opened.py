"""Which files are packed, and what they keep beside the program."""

import json
from pathlib import Path

import numpy as np

from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.graph import Graph
from openwork.runtime.packed.layout import MAGIC
from openwork.runtime.packed.opened import is_packed, write_notes
from openwork.runtime.values import Alias, Value


def test_only_files_that_begin_so_are_packed(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(MAGIC + b"more")
    (tmp_path / "other").write_bytes(b"other")
    assert is_packed(tmp_path / "packed")
    assert not any(is_packed(tmp_path / name) for name in ("other", "missing", "."))


def test_notes_hold_views_and_constants() -> None:
    x, y = Value((2, 3), "x"), Value((6,), "y")
    graph = Graph([x], [y, Alias(x, (3, 2)), np.array([1, 2], np.int64)], [])
    notes = json.loads(
        write_notes(graph, [y], [0, (1,), 2], BatchSizes(2, 4), [("a", "k")], {"mean": [0.5]})
    )
    assert [value["name"] for value in notes["values"]] == ["x", "y", "x"]
    assert notes["values"][2]["of"] == 0
    assert (notes["batches"], notes["kernels"]) == ([2, 4], [["a", "k"]])
    assert notes["metrics"] == {"mean": [0.5]}
    assert notes["arrays"] == {"t0": ["<i8", [2], "AQAAAAAAAAACAAAAAAAAAA=="]}
