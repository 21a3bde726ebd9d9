"""Pools and means: their sizes."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import check_node
from openwork.runtime.nodes import Mean, Pool
from openwork.runtime.values import Value

X = Value((2, 4, 6), "x")
POOL = Pool([X], Value((2, 2, 3), "y"), (2, 2), (2, 2), (0, 0), True, True)


def test_sizes_that_fit() -> None:
    check_node(POOL)
    check_node(dataclasses.replace(POOL, shift=np.zeros(2, np.float32)))
    assert POOL.refusal() is None
    check_node(Mean([X], Value((2,), "y")))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"output": Value((3, 2, 3), "y")}, "must both be"),
        ({"output": Value((2, 6), "y")}, "must both be"),
        ({"output": Value((2, 2, 9), "y")}, "the kernels must be able to run it: .*outside"),
        ({"stride": (0, 2)}, "the kernels must be able to run it"),
        ({"shift": np.zeros(3, np.float32)}, "the shift must be float32"),
        ({"inputs": [X, X]}, "must have 1 inputs, not 2"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(dataclasses.replace(POOL, **changed))
