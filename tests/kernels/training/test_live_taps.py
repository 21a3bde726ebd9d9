"""The phases of an input's gradient against the gradient itself."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import kernel_cases as cases
import kernel_gradients as gradients
import numpy as np

from openwork.kernels.training.live_taps import LiveTaps, Phase, input_gradient, live_taps


def _taps(case: cases.Case) -> LiveTaps:
    problem = case.problem()
    return live_taps(problem.geometry, problem.groups, problem.positions)


def _convolve(taps: LiveTaps, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    g = taps.geometry
    (py, px), (dy, dx), (height, width) = g.padding, g.dilation, g.out_size
    padded = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    total = np.zeros((len(x), g.out_channels, height, width))
    each = taps.single()
    assert each.tap is not None
    for out, inside, tap, place in zip(each.out, each.inside, each.tap, each.place, strict=True):
        y, x0 = tap // g.kernel[1] * dy, tap % g.kernel[1] * dx
        total[:, out] += weight[place] * padded[:, inside, y : y + height, x0 : x0 + width]
    return total


@pytest.mark.parametrize(
    "case",
    [
        cases.Case(3, 4, (9, 8), stride=stride, padding=padding, dilation=dilation, kernel=kernel)
        for kernel in ((3, 3), (1, 1), (4, 5))
        for stride in ((1, 1), (2, 2), (3, 1), (2, 3))
        for padding in ((0, 0), (1, 1), (2, 0))
        for dilation in ((1, 1), (2, 1), (2, 3))
        if (kernel[1] - 1) * dilation[1] < 8 and (kernel[0] - 1) * dilation[0] < 9
    ],
    ids=str,
)
def test_phases_put_together_are_the_gradient(case: cases.Case) -> None:
    problem = case.problem()
    taps = _taps(case)
    g = problem.geometry
    gradient = case.random().standard_normal((2, g.out_channels, *g.out_size))
    found = np.zeros((2, g.in_channels, *g.size))
    phases = input_gradient(taps)
    assert len(phases) == g.stride[0] * g.stride[1]
    for at, phase in enumerate(phases):
        target = found[:, :, at // g.stride[1] :: g.stride[0], at % g.stride[1] :: g.stride[1]]
        if phase.taps is not None:
            height, width = target.shape[2:]
            result = _convolve(phase.taps, problem.weight, gradient)
            rows = slice(phase.top, phase.top + height)
            target += result[:, :, rows, phase.left : phase.left + width]
    wanted, _ = gradients.input_gradient(problem, gradient)
    assert np.allclose(found, wanted)


def test_all_live_weights_are_used_once() -> None:
    taps = _taps(cases.Case(4, 6, (8, 7), stride=(2, 2), groups=2, pattern="taps"))
    places = [phase.taps.place for phase in input_gradient(taps) if phase.taps is not None]
    assert sorted(np.concatenate(places)) == list(range(taps.weights))


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1)])
def test_whole_kernels_are_kept_as_one_unit_and_read_tap_by_tap(stride: tuple[int, int]) -> None:
    case = cases.Case(4, 6, (9, 8), kernel=(3, 5), stride=stride, padding=(1, 2), groups=2)
    taps = _taps(case)
    assert taps.tap is None
    assert len(taps.out) * 15 == taps.live == taps.weights
    for phase in [Phase(taps), *input_gradient(taps)]:
        assert phase.taps is not None
        assert phase.taps.tap is None
        single = phase.taps.single()
        assert single.tap is not None
        order = np.lexsort((single.tap, single.inside, single.out))
        assert order.tolist() == list(range(phase.taps.live))
    places = [phase.taps.single().place for phase in input_gradient(taps) if phase.taps is not None]
    assert sorted(np.concatenate(places)) == list(range(taps.weights))


def test_connections_name_the_place_of_each_tap() -> None:
    taps = _taps(cases.Case(3, 4, (5, 5), pattern="taps"))
    assert taps.tap is not None
    out, inside, places = taps.connections()
    assert len(out) == len(inside) == len(places)
    assert sorted(places[places >= 0]) == list(range(taps.weights))
    for at, row in enumerate(places):
        for tap, place in enumerate(row):
            if place >= 0:
                found = taps.out[place], taps.inside[place], taps.tap[place]
                assert found == (out[at], inside[at], tap)
