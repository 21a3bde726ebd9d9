"""Columns of the sparse matrix: live pairs of channel and tap."""

import numpy as np

from openwork.kernels.pack_spmm import is_plain, spmm_rows
from openwork.kernels.problem import Geometry, Problem


def _problem(geometry: Geometry, positions: list[int]) -> Problem:
    weight = np.ones(len(positions), dtype=np.float32)
    return Problem(geometry, 1, np.array(positions, dtype=np.int64), weight)


def test_a_plain_1x1_convolution_keeps_every_channel() -> None:
    geometry = Geometry(3, 2, (4, 4), (1, 1))
    assert is_plain(geometry)
    rows, out, column = spmm_rows(_problem(geometry, [1, 3]))
    assert rows.tolist() == [0, 1, 2]
    assert (out.tolist(), column.tolist()) == ([0, 1], [1, 0])


def test_of_other_kernels_only_live_pairs_are_columns() -> None:
    geometry = Geometry(2, 2, (4, 4), (1, 2))
    assert not is_plain(geometry)
    # Filter 0: channel 1, tap 1. Filter 1: channel 0, tap 0, and channel 1, tap 1.
    rows, out, column = spmm_rows(_problem(geometry, [3, 4, 7]))
    assert rows.tolist() == [0, 3]
    assert (out.tolist(), column.tolist()) == ([0, 1, 1], [1, 0, 1])


def test_stride_and_padding_are_not_plain() -> None:
    assert not is_plain(Geometry(1, 1, (4, 4), (1, 1), stride=(2, 2)))
    assert not is_plain(Geometry(1, 1, (4, 4), (1, 1), padding=(0, 1)))


def test_a_matrix_has_a_column_even_if_nothing_lives() -> None:
    rows, out, column = spmm_rows(_problem(Geometry(2, 2, (4, 4), (3, 3)), []))
    assert rows.tolist() == [0]
    assert len(out) == len(column) == 0
