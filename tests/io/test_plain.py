"""Plain data comes back as a file gives it, and anything else is refused by name."""

import pytest
import torch

from openwork.errors import ArgumentError
from openwork.io.plain import plain


def test_tuples_become_lists_and_keys_words() -> None:
    assert plain("metrics", {"a": (1, 2.5), "b": {3: None}}) == {"a": [1, 2.5], "b": {"3": None}}


def test_the_result_is_a_copy() -> None:
    given = {"a": [1]}
    plain("metrics", given)["a"].append(2)
    assert given == {"a": [1]}


@pytest.mark.parametrize("value", [torch.ones(1), {1, 2}, object()])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"`metrics`=.* call .item\(\) on a tensor"):
        plain("metrics", {"a": value})
