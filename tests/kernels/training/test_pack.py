"""Packing for training: whole kernels as one unit give what single taps give; bad arrays raise."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from collections.abc import Callable
from typing import Any

import kernel_cases as cases
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.problem import Geometry
from openwork.kernels.to_native import native_geometry
from openwork.kernels.training.live_taps import live_taps
from openwork.kernels.training.pack import sampled_spmm, trainable_spmm, trainable_taps

ISA = _C.usable_isas()[-1]
GEOMETRY = Geometry(3, 4, (5, 6), (3, 3), padding=(1, 1))
# Live kernels, with place 9 * i.
OUT, INSIDE = np.array([0, 0, 1, 3], np.int32), np.array([0, 2, 1, 2], np.int32)
WEIGHTS = 9 * len(OUT)


def _run(layer: Any, weight: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    found = np.full(shape, np.nan, np.float32)
    memory = np.full(layer.workspace(len(x), 1), np.nan, np.float32)
    layer.run(weight, x, found, None, memory, 1)
    return found


@pytest.mark.parametrize("isa", _C.usable_isas())
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("pattern", ["random", "dense"])
def test_whole_kernels_give_what_single_taps_give(pattern: str, group: int, isa: str) -> None:
    case = cases.Case(7, 9, (6, 7), (3, 2), padding=(1, 0), batch=2, pattern=pattern)
    problem = case.problem()
    taps = live_taps(problem.geometry, 1, problem.positions)
    assert taps.tap is None
    x = case.random().standard_normal((2, 7, 6, 7)).astype(np.float32)
    shape = 2, 9, *problem.geometry.out_size
    for build in (
        lambda taps: trainable_spmm(taps, isa, 1, 12, group, False),
        lambda taps: trainable_taps(taps, isa, 1, 1, False),
    ):
        one, other = (_run(build(each), problem.weight, x, shape) for each in (taps, taps.single()))
        assert np.array_equal(one, other)
    gradient = case.random().standard_normal(shape).astype(np.float32)
    found: list[np.ndarray] = []
    for each in (taps, taps.single()):
        layer = sampled_spmm(each, isa, 1, 12, False)
        found.append(np.empty(taps.live, np.float32))
        memory = np.empty(layer.workspace(2, 1), np.float32)
        layer.run(x, gradient, found[-1], memory, 1)
    assert np.array_equal(found[0], found[1])


def test_index_arrays_of_whole_kernels_are_small() -> None:
    """Places are kept for each kernel; only the columns, which kernels read, for each tap."""
    packed = pack_lists(4, 3, OUT, INSIDE, 2, 2, False, 9)
    assert packed.order.dtype == np.int32
    assert len(packed.order) == 4
    assert packed.index.dtype == np.uint16
    assert len(packed.index) <= 36


def _columns() -> dict[str, Any]:
    return {
        "channel": np.repeat(np.arange(3, dtype=np.int32), 9),
        "tap": np.tile(np.arange(9, dtype=np.uint16), 3),
    }


def _spmm() -> dict[str, Any]:
    packed = pack_lists(4, 3, OUT, INSIDE, 2, 2, False, 9)
    return {
        "lists": packed.indices(),
        "order": packed.order * np.int32(9),
        "step": np.arange(9, dtype=np.int32),
        **_columns(),
        "live": WEIGHTS,
        "chunk": 18,
        "group": 2,
        "vectors": 1,
        "in_place": False,
    }


def _make_spmm(arguments: dict[str, Any]) -> Any:
    lists = _C.ListIndices(*arguments["lists"])
    return _C.trainable_spmm(ISA, native_geometry(GEOMETRY), **{**arguments, "lists": lists})


def _taps() -> dict[str, Any]:
    *offset, channel = _C.tap_offsets(native_geometry(GEOMETRY))
    offsets = (INSIDE[:, None] * channel + np.array(offset)).astype(np.int32)
    return {
        "start": np.array([0, 18, 27, 27, 36]),
        "offset": offsets.reshape(-1),
        "order": np.arange(4, dtype=np.int32) * np.int32(9),
        "step": np.arange(9, dtype=np.int32),
        "live": WEIGHTS,
        "rows": 1,
        "vectors": 1,
        "flat": False,
    }


def _make_taps(arguments: dict[str, Any]) -> Any:
    return _C.trainable_taps(ISA, native_geometry(GEOMETRY), **arguments)


def _sampled() -> dict[str, Any]:
    """Chunks of two channels: the columns 0 to 17, and 18 to 26 counted from 0."""
    first = np.array([0, 0, 9, 0], np.uint16)
    return {
        "bound": np.array([[0, 18, 27, 27], [9, 27, 27, 27], [18, 27, 27, 36]], np.int32).ravel(),
        "index": (first[:, None] + np.arange(9, dtype=np.uint16)).ravel(),
        **_columns(),
        "chunk": 18,
        "vectors": 1,
        "in_place": False,
    }


def _make_sampled(arguments: dict[str, Any]) -> Any:
    return _C.sampled_spmm(ISA, native_geometry(GEOMETRY), **arguments)


MAKERS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], Any]]] = {
    "spmm": (_spmm, _make_spmm),
    "taps": (_taps, _make_taps),
    "sampled": (_sampled, _make_sampled),
}


def _dense(weight: np.ndarray) -> np.ndarray:
    dense = np.zeros((4, 3, 9), np.float32)
    dense[OUT, INSIDE] = weight.reshape(-1, 9)
    return dense


def _reference(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The convolution, tap by tap."""
    padded, total = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), np.zeros((len(x), 4, 5, 6))
    for tap in range(9):
        window = padded[:, :, tap // 3 : tap // 3 + 5, tap % 3 : tap % 3 + 6]
        total += np.einsum("oi,bihw->bohw", _dense(weight)[:, :, tap], window)
    return total


@pytest.mark.parametrize("name", ["spmm", "taps"])
def test_the_arguments_below_are_a_convolution(name: str) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal(WEIGHTS).astype(np.float32)
    x = random.standard_normal((2, 3, 5, 6)).astype(np.float32)
    arguments, make = MAKERS[name]
    found = _run(make(arguments()), weight, x, (2, 4, 5, 6))
    np.testing.assert_allclose(found, _reference(weight, x), atol=1e-5)


def test_the_arguments_below_are_a_gradient() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 5, 6)).astype(np.float32)
    gradient = random.standard_normal((2, 4, 5, 6)).astype(np.float32)
    layer = _make_sampled(_sampled())
    found = np.empty(WEIGHTS, np.float32)
    layer.run(x, gradient, found, np.empty(layer.workspace(2, 1), np.float32), 1)
    one = np.eye(WEIGHTS, dtype=np.float32)
    wanted = [(_reference(each, x) * gradient).sum() for each in one]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("spmm", "step", np.zeros(0, np.int32)),
        ("spmm", "step", np.arange(8, dtype=np.int32)),
        ("spmm", "step", np.arange(-1, 8, dtype=np.int32)),
        ("spmm", "step", np.arange(1, 10, dtype=np.int32)),
        ("spmm", "step", np.full(9, 2**31 - 1, np.int32)),
        ("spmm", "step", np.arange(36, dtype=np.int32)),
        ("spmm", "order", np.array([0, 9, 18, 28], np.int32)),
        ("spmm", "order", np.array([-1, 9, 18, 27], np.int32)),
        ("spmm", "order", np.array([0, 9, 18], np.int32)),
        ("spmm", "live", WEIGHTS - 1),
        ("spmm", "live", -1),
        ("spmm", "chunk", 17),
        ("taps", "step", np.zeros(0, np.int32)),
        ("taps", "step", np.arange(8, dtype=np.int32)),
        ("taps", "step", np.arange(1, 10, dtype=np.int32)),
        ("taps", "order", np.array([0, 9, 18, 28], np.int32)),
        ("taps", "order", np.array([0, 9, 18, 27, 0], np.int32)),
        ("sampled", "chunk", 0),
        ("sampled", "chunk", 65536),
        ("sampled", "chunk", 2**40),
        ("sampled", "chunk", 8),
        ("sampled", "chunk", 27),
        ("sampled", "bound", np.zeros(12, np.int32)),
        ("sampled", "index", np.full(36, 18, np.uint16)),
        ("sampled", "index", np.full(36, 9, np.uint16)),
    ],
)
def test_bad_arrays_are_refused(name: str, argument: str, value: Any) -> None:
    arguments, make = MAKERS[name]
    with pytest.raises(ValueError, match="`"):
        make({**arguments(), argument: value})


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_one_number_of_any_array_changed_is_refused_or_runs(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(MAKERS)))
    arguments, make = MAKERS[name]
    spoiled = arguments()
    lists = list(spoiled.pop("lists", []))
    arrays = [each for each in [*spoiled.values(), *lists] if isinstance(each, np.ndarray)]
    array = data.draw(st.sampled_from(arrays))
    kind = np.iinfo(array.dtype)
    at = data.draw(st.integers(0, array.size - 1))
    array.reshape(-1)[at] = data.draw(
        st.one_of(st.integers(0, 40), st.integers(kind.min, kind.max))
        if kind.min
        else st.integers(0, kind.max)
    )
    x, y = np.ones((1, 3, 5, 6), np.float32), np.ones((1, 4, 5, 6), np.float32)
    try:
        layer = make({**spoiled, "lists": lists} if lists else spoiled)
    except ValueError:
        return
    memory = np.empty(layer.workspace(1, 1), np.float32)
    weight = np.ones(WEIGHTS, np.float32)
    if name == "sampled":
        layer.run(x, y, weight, memory, 1)
    else:
        layer.run(weight, x, y, None, memory, 1)
        assert np.isfinite(y).all()


# Filters 0, 1 and 3 read channels 0, 2 and 1.
DEPTHWISE = Geometry(3, 4, (5, 6), (3, 3), (2, 2), (1, 1))
READ = np.array([0, 2, 0, 1], np.int32)


def _depthwise() -> dict[str, Any]:
    return {
        "channel": READ.copy(),
        "start": np.array([0, 9, 18, 18, 27]),
        "tap": np.tile(np.arange(9, dtype=np.uint16), 3),
        "order": np.array([0, 9, 18], np.int32),
        "step": np.arange(9, dtype=np.int32),
        "live": 27,
    }


def _transposed() -> dict[str, Any]:
    return {
        "filter": np.array([0, 3, 1], np.int32),
        "kernel": np.array([0, 2, 1], np.int32),
        "order": np.array([0, 9, 18], np.int32),
        "step": np.arange(9, dtype=np.int32),
        "live": 27,
    }


def _sampled_depthwise() -> dict[str, Any]:
    return {"filter": np.array([0, 1, 3], np.int32), "channel": READ[[0, 1, 3]]}


DEPTHWISE_MAKERS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[..., Any]]] = {
    "forward": (_depthwise, _C.trainable_depthwise),
    "input": (_transposed, _C.transposed_depthwise),
    "weight": (_sampled_depthwise, _C.sampled_depthwise),
}


def _run_depthwise(direction: str, arguments: dict[str, Any], tensors: list[np.ndarray]) -> None:
    """Runs on (input, weight, output), one of which is overwritten."""
    layer = DEPTHWISE_MAKERS[direction][1](ISA, native_geometry(DEPTHWISE), **arguments)
    x, weight, y = tensors
    memory = np.empty(layer.workspace(len(x), 1), np.float32)
    if direction == "forward":
        layer.run(weight, x, y, None, memory, 1)
    elif direction == "input":
        layer.run(weight, y, x, None, memory, 1)
    else:
        layer.run(x, y, weight, memory, 1)


def test_directions_of_a_depthwise_layer_agree() -> None:
    """What an output's gradient meets is the same seen from each of the three."""
    random = np.random.default_rng(0)
    shapes = (2, 3, 5, 6), (27,), (2, 4, 3, 3)
    x, weight, gradient = (random.standard_normal(each).astype(np.float32) for each in shapes)
    found = {"forward": [x, weight, np.empty_like(gradient)]}
    found["input"] = [np.empty_like(x), weight, gradient]
    found["weight"] = [x, np.empty_like(weight), gradient]
    for direction, tensors in found.items():
        _run_depthwise(direction, DEPTHWISE_MAKERS[direction][0](), tensors)
    dot = (found["forward"][2] * gradient).sum()
    assert abs(dot) > 1
    np.testing.assert_allclose((found["input"][0] * x).sum(), dot, rtol=1e-4)
    np.testing.assert_allclose(found["weight"][1] @ weight, dot, rtol=1e-4)


def test_a_transposed_layer_adds_a_bias_to_each_channel() -> None:
    """Channel 1 is read by no filter: it is the bias."""
    unread = {"filter": np.array([0, 0, 1], np.int32), "kernel": np.array([0, -1, 1], np.int32)}
    layer = _C.transposed_depthwise(ISA, native_geometry(DEPTHWISE), **{**_transposed(), **unread})
    random = np.random.default_rng(0)
    weight, gradient = (random.standard_normal(n).astype(np.float32) for n in (27, (2, 4, 3, 3)))
    found = [np.full((2, 3, 5, 6), np.nan, np.float32) for _ in range(2)]
    for each, bias in zip(found, (None, np.array([3, 4, 5], np.float32)), strict=True):
        layer.run(weight, gradient, each, bias, np.empty(layer.workspace(2, 1), np.float32), 1)
    assert (found[0][:, 1] == 0).all()
    assert (found[0][:, [0, 2]] != 0).any((2, 3)).all()
    shifts = found[1] - found[0]
    np.testing.assert_allclose(shifts.mean((0, 2, 3)), [3, 4, 5], rtol=1e-5)
    assert (shifts.std((0, 2, 3)) < 1e-5).all()


@pytest.mark.parametrize(
    ("direction", "argument", "value"),
    [
        ("forward", "channel", READ + 1),
        ("forward", "channel", READ[:3]),
        ("forward", "start", np.array([0, 9, 18, 27])),
        ("forward", "tap", np.arange(27, dtype=np.uint16)),
        ("forward", "order", np.array([0, 9], np.int32)),
        ("forward", "order", np.array([0, 9, 19], np.int32)),
        ("input", "filter", np.array([0, 4, 1], np.int32)),
        ("input", "filter", np.array([0, -1, 1], np.int32)),
        ("input", "filter", READ),
        ("input", "kernel", np.array([0, 3, 1], np.int32)),
        ("input", "kernel", np.array([0, -2, 1], np.int32)),
        ("input", "kernel", READ),
        ("input", "step", np.zeros(1, np.int32)),
        ("input", "order", np.array([0, 9, 19], np.int32)),
        ("weight", "filter", np.array([0, 1, 4], np.int32)),
        ("weight", "filter", np.array([0, 1, -1], np.int32)),
        ("weight", "channel", np.array([0, 2, 3], np.int32)),
        ("weight", "channel", np.array([0, 2, -1], np.int32)),
        ("weight", "channel", READ),
    ],
)
def test_bad_arrays_of_depthwise_layers_are_refused(
    direction: str, argument: str, value: np.ndarray
) -> None:
    arguments, make = DEPTHWISE_MAKERS[direction]
    with pytest.raises(ValueError, match="`"):
        make(ISA, native_geometry(DEPTHWISE), **{**arguments(), argument: value})


def test_kernels_of_other_sizes_are_refused() -> None:
    for kernel, stride, padding, words in (
        ((2, 2), (2, 2), (1, 1), "not a square kernel"),
        ((3, 3), (1, 1), (1, 1), "with stride 2"),
        ((3, 3), (2, 2), (1, 2), "different parity"),
    ):
        taps = kernel[0] * kernel[1]
        geometry = native_geometry(Geometry(3, 4, (5, 6), kernel, stride, padding))
        arguments = {**_transposed(), "step": np.arange(taps, dtype=np.int32)}
        with pytest.raises(ValueError, match=words):
            _C.transposed_depthwise(ISA, geometry, **arguments)
    geometry = native_geometry(Geometry(3, 4, (5, 6), (3, 3), (2, 1), (1, 1)))
    with pytest.raises(ValueError, match="not a square kernel"):
        _C.sampled_depthwise(ISA, geometry, **_sampled_depthwise())


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_one_number_of_a_depthwise_array_changed_is_refused_or_runs(data: st.DataObject) -> None:
    direction = data.draw(st.sampled_from(sorted(DEPTHWISE_MAKERS)))
    spoiled = DEPTHWISE_MAKERS[direction][0]()
    array = data.draw(st.sampled_from([v for v in spoiled.values() if isinstance(v, np.ndarray)]))
    kind = np.iinfo(array.dtype)
    numbers = st.one_of(st.integers(0, 40), st.integers(int(kind.min), int(kind.max)))
    array[data.draw(st.integers(0, array.size - 1))] = data.draw(numbers)
    shapes = (1, 3, 5, 6), (27,), (1, 4, 3, 3)
    tensors = [np.ones(shape, np.float32) for shape in shapes]
    try:
        _run_depthwise(direction, spoiled, tensors)
    except ValueError:
        return
    assert all(np.isfinite(each).all() for each in tensors)
