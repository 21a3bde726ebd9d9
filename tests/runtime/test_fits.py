"""Values beside the types that a file's fields are annotated with."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from openwork.runtime.fits import fits


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -1], [True, 1.0, "1", None]),
        (bool, [True], [1, None]),
        (float, [0.5], [1, True]),
        (int | None, [1, None], [True, "x"]),
        (Literal["a", "b"], ["a"], ["c", 1, None]),
        (tuple[int, int], [(1, 2)], [(1,), (1, 2, 3), [1, 2], (1, 2.0)]),
        (tuple[str, ...], [(), ("a", "b")], [("a", 1), ["a"]]),
        (list[int], [[], [1]], [(1,), [True], [None]]),
        (dict[str, Any], [{}, {"a": object()}], [{1: 2}, []]),
        (np.ndarray, [np.zeros(2)], [[0.0]]),
        (Callable[..., Any], [print], ["print"]),
        (Any, [None, object()], []),
    ],
    ids=lambda case: "" if isinstance(case, list) else str(case),
)
def test_what_is_of_a_type(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert all(fits(value, hint) for value in good)
    assert not any(fits(value, hint) for value in bad)
