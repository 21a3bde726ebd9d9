"""The arrays of the kernel of sparse linear layers: rows in lanes, longest first."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import numpy as np

from openwork.kernels.pack_gemv import PackedGemv, pack_gemv, shares_inputs
from openwork.kernels.problem import Geometry, Problem


def _problem(live: np.ndarray, groups: int = 1) -> Problem:
    positions = np.flatnonzero(live)
    weight = np.arange(1, len(positions) + 1, dtype=np.float32)
    geometry = Geometry(live.shape[1] * groups, len(live), (1, 1), (1, 1))
    return Problem(geometry, groups, positions, weight)


def _unpacked(packed: PackedGemv, lanes: int, group: int, shape: tuple[int, int]) -> np.ndarray:
    """The dense matrix, read as the kernel reads it."""
    rows, inputs = shape
    chunks = -(-inputs // packed.chunk)
    dense = np.zeros((rows, chunks, packed.chunk + 1), np.float32)
    index = packed.index.reshape(-1, lanes // group)
    weight = packed.weight.reshape(-1, lanes)
    for piece in range(len(packed.start) - 1):
        slot, chunk = divmod(piece, chunks)
        for step in range(packed.start[piece], packed.start[piece + 1]):
            for lane in range(lanes):
                row = packed.row[slot * lanes + lane]
                if row >= 0:
                    dense[row, chunk, index[step, lane // group]] += weight[step, lane]
                else:
                    assert weight[step, lane] == 0
    assert not dense[:, :, packed.chunk].any()
    return dense[:, :, :-1].reshape(rows, -1)[:, :inputs]


def test_rows_are_sorted_and_short_ones_read_zeros() -> None:
    live = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)
    packed = pack_gemv(_problem(live), 4, 1)
    assert packed.row.tolist() == [3, 1, 0, 4, 2, -1, -1, -1]
    assert packed.start.tolist() == [0, 3, 3]
    assert packed.index.reshape(3, 4).tolist() == [[0, 0, 0, 1], [1, 2, 3, 3], [2, 3, 3, 3]]
    assert packed.weight.reshape(3, 4).tolist() == [[4, 2, 1, 7], [5, 3, 0, 0], [6, 0, 0, 0]]
    kinds = [array.dtype for array in packed.arrays()]
    assert kinds == [np.int32, np.int64, np.uint16, np.float32]


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("most", [1, 3, 17, 65535])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_chunks_hold_every_weight_once(lanes: int, most: int, density: float) -> None:
    live = np.random.default_rng(0).random((21, 19)) < density
    problem = _problem(live)
    packed = pack_gemv(problem, lanes, 1, most)
    dense = np.zeros(live.size, np.float32)
    dense[problem.positions] = problem.weight
    assert np.array_equal(_unpacked(packed, lanes, 1, live.shape), dense.reshape(live.shape))


@pytest.mark.parametrize(("lanes", "group"), [(4, 4), (8, 4), (8, 8), (16, 4), (16, 16)])
def test_groups_of_rows_share_an_index(lanes: int, group: int) -> None:
    live = np.repeat(np.random.default_rng(0).random((5, 30)) < 0.3, group, axis=0)
    problem = _problem(live)
    packed = pack_gemv(problem, lanes, group)
    assert packed.index.size * group == packed.weight.size
    dense = np.zeros(live.size, np.float32)
    dense[problem.positions] = problem.weight
    assert np.array_equal(_unpacked(packed, lanes, group, live.shape), dense.reshape(live.shape))


def test_groups_of_a_convolution_read_their_own_inputs() -> None:
    packed = pack_gemv(_problem(np.ones((4, 3), bool), groups=2), 4, 1)
    assert packed.index.reshape(-1, 4).tolist() == [[0, 0, 3, 3], [1, 1, 4, 4], [2, 2, 5, 5]]


def test_more_inputs_than_an_index_counts_are_cut() -> None:
    live = np.zeros((1, 65537), bool)
    live[0, [0, 32768, 32769, 65536]] = True
    packed = pack_gemv(_problem(live), 4, 1)
    assert packed.chunk == 32769
    assert packed.start.tolist() == [0, 2, 4]
    assert packed.index.reshape(4, 4)[:, 0].tolist() == [0, 32768, 0, 32767]


def test_which_rows_share_their_inputs() -> None:
    random = np.random.default_rng(0)
    blocks = np.repeat(random.random((6, 20)) < 0.3, 4, axis=0)
    assert shares_inputs(_problem(blocks), 4)
    assert not shares_inputs(_problem(blocks), 16)
    assert not shares_inputs(_problem(blocks[:-1]), 4)
    assert shares_inputs(_problem(np.ones((32, 5), bool)), 16)
    # As many live inputs, but not the same ones.
    other = blocks.copy()
    other[5] = np.roll(other[5], 1)
    assert not shares_inputs(_problem(other), 4)
    # Equal counts in every row hide nothing either.
    assert not shares_inputs(_problem(np.eye(8, dtype=bool)), 4)
    assert shares_inputs(_problem(np.zeros((8, 5), bool)), 4)
