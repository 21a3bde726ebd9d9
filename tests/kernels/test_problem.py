"""A layer as numbers: sizes as torch has them, and which tap reads what."""

import numpy as np
import pytest
import torch
from torch import nn

from openwork.kernels.problem import Geometry, Problem


def _problem(geometry: Geometry, positions: list[int], groups: int = 1) -> Problem:
    weight = np.arange(1, len(positions) + 1, dtype=np.float32)
    return Problem(geometry, groups, np.array(positions, dtype=np.int64), weight)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (0, 0), (1, 1)),
        ((3, 2), (2, 1), (1, 0), (1, 2)),
        ((1, 4), (3, 2), (0, 2), (2, 1)),
    ],
)
def test_the_output_is_as_large_as_torchs(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    geometry = Geometry(1, 1, (9, 8), kernel, stride, padding, dilation)
    conv = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    assert conv(torch.zeros(1, 1, 9, 8)).shape[2:] == geometry.out_size


def test_inputs_of_a_group_are_counted_among_all() -> None:
    problem = _problem(Geometry(4, 4, (3, 3), (1, 1)), [0, 3, 5], groups=2)
    out, inside, tap = problem.units()
    assert (out.tolist(), inside.tolist(), tap.tolist()) == ([0, 1, 2], [0, 1, 3], [0, 0, 0])
    assert problem.macs() == 3 * 9


def test_dead_taps_of_a_live_connection_are_zero() -> None:
    problem = _problem(Geometry(2, 2, (3, 3), (1, 2)), [0, 1, 5])
    out, inside, kernels = problem.connections()
    assert (out.tolist(), inside.tolist()) == ([0, 1], [0, 0])
    assert kernels.tolist() == [[1, 2], [0, 3]]
    assert not problem.whole()
    assert _problem(Geometry(2, 2, (3, 3), (1, 2)), [2, 3]).whole()


@pytest.mark.parametrize(
    ("positions", "groups", "message"),
    [
        ([0], 3, "`groups`=3 must divide 4 and 4 channels"),
        ([1, 0], 1, r"must rise strictly within \[0, 16\)"),
        ([0, 0], 1, "must rise strictly"),
        ([16], 1, "must rise strictly"),
        ([8], 2, r"within \[0, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused(positions: list[int], groups: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _problem(Geometry(4, 4, (3, 3), (1, 1)), positions, groups)
