"""Batch sizes that a captured network takes, and the conditions that files may hold."""

import pytest

from openwork.runtime.batch_sizes import BatchSizes


@pytest.mark.parametrize(
    ("batches", "words", "members"),
    [
        (BatchSizes(), "any batch", {0: False, 1: True, 9999: True}),
        (BatchSizes(2), "2 or more", {1: False, 2: True}),
        (BatchSizes(1, 8), "1 to 8", {8: True, 9: False}),
        (BatchSizes.of(3), "3", {2: False, 3: True, 4: False}),
        (BatchSizes(1, None, ("(batch % 2) == 0",)), "any batch", {2: True, 3: False}),
        (BatchSizes(1, 9, ("batch // (batch - 3) >= 2",)), "1 to 9", {3: False, 6: True, 7: False}),
        (
            BatchSizes(1, None, ("not batch == -(2 - 6) or batch > 5 and 1",)),
            "any batch",
            {4: False},
        ),
    ],
)
def test_which_sizes_may_be_given(
    batches: BatchSizes, words: str, members: dict[int, bool]
) -> None:
    assert str(batches) == words
    assert {size: size in batches for size in members} == members


@pytest.mark.parametrize(
    "condition",
    [
        "exit()",
        "size > 1",
        "batch ** 9 > 1",
        "batch.real > 1",
        "1 < batch < 3",
        "batch >",
        "+" * 9999,
    ],
)
def test_a_condition_is_nothing_but_arithmetic(condition: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        BatchSizes(conditions=(condition,))
