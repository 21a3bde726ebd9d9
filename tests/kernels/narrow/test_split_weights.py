"""Split weights: nothing is lost, and all that is added in 16 bits fits."""

import numpy as np
import pytest

from openwork.kernels.narrow.split_weights import SplitWeights, split_weights


def _fits(fours: np.ndarray) -> bool:
    """Whether sums of bytes times `(..., pairs of one lane)` weights fit int16, at their worst."""
    above = 255 * np.where(fours > 0, fours, 0).sum(-1)
    below = 255 * np.where(fours < 0, fours, 0).sum(-1)
    return bool((above < 1 << 15).all() and (below >= -(1 << 15)).all())


def _whole(split: SplitWeights, fours: int) -> np.ndarray:
    rows = split.weight.shape[0]
    whole = np.zeros((rows, fours, 4), np.int64)
    whole[:, split.order] = split.weight
    for entry, numbers in enumerate(split.rest_four):
        for row, four in enumerate(numbers):
            whole[row, four] += split.rest_weight[entry, row]
    return whole


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("fours", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("heaviest", [3, 40, 127])
def test_sums_stay_and_all_fit(rows: int, fours: int, heaviest: int) -> None:
    random = np.random.default_rng(fours)
    block = random.integers(-heaviest, heaviest + 1, (rows, fours, 4)).astype(np.int8)
    split = split_weights(block)
    assert sorted(split.order) == list(range(fours))
    np.testing.assert_array_equal(_whole(split, fours), block)
    lanes = split.weight.astype(np.int64).reshape(rows, fours, 2, 2)
    two = fours // 2 * 2
    assert _fits(np.concatenate([lanes[:, :two:2], lanes[:, 1:two:2]], -1))
    assert _fits(lanes)
    assert _fits(split.rest_weight.astype(np.int64).reshape(-1, 2))
    if heaviest == 3:
        assert split.rest_four.shape == (0, rows)


def test_the_heaviest_four_goes_with_the_lightest() -> None:
    block = np.zeros((1, 4, 4), np.int8)
    block[0, :, 0] = 30, 120, 90, 5
    split = split_weights(block)
    assert {frozenset(split.order[:2]), frozenset(split.order[2:])} == {
        frozenset({1, 3}),
        frozenset({0, 2}),
    }
    assert split.rest_four.shape == (0, 1)


def test_the_largest_weights_take_one_four_more_and_no_filter_waits_for_others() -> None:
    block = np.zeros((2, 4, 4), np.int8)
    block[0, 1] = block[1, 2] = 127
    split = split_weights(block)
    assert split.rest_four.tolist() == [[1, 2]]
    assert split.rest_weight.tolist() == [[[0, 126, 0, 126]] * 2]
