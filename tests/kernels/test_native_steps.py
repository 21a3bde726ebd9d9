"""Steps of a program that no layer runs: against numpy in float64, and damaged places refused."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C

ISAS = _C.usable_isas()
WRONG = (-1, 0, 7, 2**20, 2**31 - 1, 2**40, 2**62)


def _run(program: Any, array: np.ndarray, floats: int, threads: int = 1) -> np.ndarray:
    output = np.full((len(array), floats), np.nan, np.float32)
    arena = np.empty(program.arena(len(array), threads), np.float32)
    program.run([array], [output], arena, len(array), threads)
    return output


def _contiguous(sizes: tuple[int, ...]) -> list[int]:
    return [int(np.prod(sizes[axis + 1 :])) for axis in range(len(sizes))]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_move(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 36), min_size=2, max_size=3)))
    order = data.draw(st.permutations(range(len(shape))))
    steps = data.draw(st.lists(st.sampled_from([1, 2, 3, -1]), min_size=3, max_size=3))
    batch, threads = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    numbers = np.random.default_rng(0).random((batch, *shape), np.float32)
    wanted = numbers.transpose(0, *(axis + 1 for axis in order))
    wanted = wanted[(slice(None), *(slice(None, None, step) for step in steps[: len(shape)]))]
    view = wanted[0]
    first = (view.__array_interface__["data"][0] - numbers.__array_interface__["data"][0]) // 4
    program = _C.Program(data.draw(st.sampled_from(ISAS)))
    slots = program.input(numbers[0].size), program.output(view.size + 5)
    program.fill(slots[1], 7.0)
    from_ = [stride // 4 for stride in view.strides]
    program.move(*slots, view.shape, from_, _contiguous(view.shape), first, 3)
    found = _run(program, numbers, view.size + 5, threads)
    assert np.array_equal(found[:, 3:-2].reshape(wanted.shape), wanted)
    assert (found[:, :3] == 7).all()
    assert (found[:, -2:] == 7).all()


MOVE = {"size": [4, 6], "from_": [6, 1], "to": [6, 1], "first_from": 0, "first_to": 0}


@pytest.mark.parametrize("name", MOVE)
@pytest.mark.parametrize("value", WRONG)
def test_a_move_beyond_its_slots_is_refused(name: str, value: int) -> None:
    program = _C.Program(ISAS[0])
    slots = program.input(24), program.output(24)
    program.move(*slots, **MOVE)
    changed: Any = [4, value] if isinstance(MOVE[name], list) else value
    # To the slots' ends, or not at all.
    if (name, value) in {("from_", 0), ("from_", -1), ("first_from", 0), ("first_to", 0)}:
        changed = [0, 25] if name == "from_" else 24
    with pytest.raises(ValueError, match=r".+"):
        program.move(*slots, **{**MOVE, name: changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"size": [], "from_": [], "to": []},
        {"size": [4, 6, 1]},
        {"size": [1] * 8, "from_": [1] * 8, "to": [1] * 8},
        {"to": [1, 6]},
        {"to": [5, 1]},
        {"from_": [-6, -1]},
    ],
    ids=str,
)
def test_axes_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    program = _C.Program(ISAS[0])
    slots = program.input(24), program.output(24)
    with pytest.raises(ValueError, match=r".+"):
        program.move(*slots, **{**MOVE, **changed})


def test_what_reads_its_own_output_is_refused() -> None:
    program = _C.Program(ISAS[0])
    slot = program.arena_slot(0, 24)
    with pytest.raises(ValueError, match="shares memory"):
        program.move(slot, slot, **MOVE)
    with pytest.raises(ValueError, match="shares memory"):
        program.resample(slot, slot, **RESAMPLE)
    given = program.input(24)
    for step, arguments in (("fill", (0.0,)), ("prelu", ([1.0],)), ("softmax", (24, 1, False))):
        with pytest.raises(ValueError, match="cannot be written to"):
            getattr(program, step)(*(given,) if step == "fill" else (slot, given), *arguments)


RESAMPLE = {
    "height": 3,
    "width": 4,
    "row": [0, 2, 1],
    "row_weight": [],
    "row_taps": 1,
    "column": [3, 0, 1, 2],
    "column_weight": [0.5, 1.0, 2.0, 3.0],
    "column_taps": 1,
}


@pytest.mark.parametrize(
    "changed",
    [
        *({name: value} for name in ("height", "width") for value in (0, 5, 2**20, 2**40)),
        *({f"{axis}_taps": value} for axis in ("row", "column") for value in (0, 2, 5, 2**40)),
        *({name: [0, 1, value]} for name in ("row", "column") for value in (-1, 7, 2**31 - 1)),
        {"row": []},
        {"row_weight": [1.0]},
        {"column_weight": [1.0]},
        {"row": [0, 1, 2, 0], "row_taps": 2},
    ],
    ids=str,
)
def test_a_damaged_table_is_refused(changed: dict[str, Any]) -> None:
    program = _C.Program(ISAS[0])
    slots = program.input(24), program.output(24)
    program.resample(*slots, **RESAMPLE)
    with pytest.raises(ValueError, match=r".+"):
        program.resample(*slots, **{**RESAMPLE, **changed})


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_and_columns_are_weighed(isa: str, threads: int) -> None:
    random = np.random.default_rng(0)
    program = _C.Program(isa)
    row, column = random.integers(0, 5, (3, 9)), random.integers(0, 37, (2, 21))
    row_weight, column_weight = random.random((3, 9)), random.random((2, 21))
    program.resample(
        program.input(4 * 5 * 37),
        program.output(4 * 9 * 21),
        height=5,
        width=37,
        row=row.reshape(-1).tolist(),
        row_weight=row_weight.reshape(-1).tolist(),
        row_taps=3,
        column=column.reshape(-1).tolist(),
        column_weight=column_weight.reshape(-1).tolist(),
        column_taps=2,
    )
    maps = random.random((3, 4, 5, 37), np.float32)
    rows = (maps[:, :, row] * row_weight[..., None]).sum(2)
    wanted = (rows[..., column] * column_weight).sum(3)
    found = _run(program, maps, 4 * 9 * 21, threads).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


EXACT: dict[str, tuple[list[float], Any]] = {
    "abs": ([], np.abs),
    "clamp": ([-0.5, 2.0], lambda x: np.clip(x, -0.5, 2.0)),
    "elu": ([1.5, 0.5, 2.0], lambda x: np.where(x > 0, 0.5 * x, 1.5 * np.expm1(2 * x))),
    "erf": ([], lambda x: _erf(x)),
    "exp": ([], np.exp),
    "log_sigmoid": ([], lambda x: -np.logaddexp(0, -x)),
    "mish": ([], lambda x: x * np.tanh(np.logaddexp(0, x))),
    "reciprocal": ([], lambda x: 1 / x),
    "softplus": ([2.0, 20.0], lambda x: np.logaddexp(0, 2 * x) / 2),
    "square": ([], np.square),
    "tanh": ([], np.tanh),
    "sqrt": ([], lambda x: np.sqrt(np.maximum(x, 0))),
    "gelu_tanh": (
        [],
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "gelu": ([], lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2)))),
}


def _erf(x: np.ndarray) -> np.ndarray:
    # The mean of 2 / sqrt(pi) exp(-t^2) over [0, x], by Simpson's rule.
    t = np.linspace(0, 1, 2001)[:, None] * np.clip(x, -6, 6)
    weights = np.where(np.arange(2001) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1
    return 2 / np.sqrt(np.pi) * np.clip(x, -6, 6) * (weights @ np.exp(-(t**2))) / 6000


def test_every_function_has_its_exact_one() -> None:
    assert EXACT.keys() == _C.Function.__members__.keys()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", EXACT)
def test_functions_are_exact_to_a_few_epsilons(name: str, isa: str) -> None:
    numbers, exact = EXACT[name]
    x = np.concatenate([np.linspace(-40, 40, 4003), [1e-3, -1e-3, 1e-6, -1e-6]]).astype(np.float32)
    x = np.abs(x) + 1e-3 if name in ("sqrt", "reciprocal") else x
    program = _C.Program(isa)
    slots = program.input(x.size), program.output(x.size)
    program.map(*slots, _C.Function[name], numbers)
    wanted = exact(x.astype(np.float64))
    error = np.abs(_run(program, x[None], x.size)[0] - wanted)
    scale = np.abs(wanted) + (np.abs(x) if "gelu" in name else 0)
    assert (error <= 4 * np.finfo(np.float32).eps * scale + 1e-37).all()
    with pytest.raises(ValueError, match="`numbers`"):
        program.map(*slots, _C.Function[name], [*numbers, 1.0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(3, 7, 1), (1, 40, 1), (2, 5, 37), (4, 1, 3), (1, 16, 16)])
def test_softmax(shape: tuple[int, int, int], log: bool, isa: str) -> None:
    _, size, inner = shape
    x = np.random.default_rng(0).normal(0, 30, (2, *shape)).astype(np.float32)
    program = _C.Program(isa)
    floats = x[0].size
    program.softmax(program.input(floats), program.output(floats), size, inner, log)
    # The difference is taken in single precision, as torch takes it.
    shifted = (x - x.max(2, keepdims=True)).astype(np.float64)
    wanted = np.exp(shifted) / np.exp(shifted).sum(2, keepdims=True)
    found = _run(program, x, floats).reshape(x.shape)
    if log:
        np.testing.assert_allclose(found, np.log(wanted), rtol=1e-6, atol=2e-6)
    else:
        np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=1e-37)


@pytest.mark.parametrize(("size", "inner"), [(0, 1), (5, 1), (24, 2), (2**40, 1), (4, -1)])
def test_softmax_along_an_axis_that_is_not_there_is_refused(size: int, inner: int) -> None:
    program = _C.Program(ISAS[0])
    with pytest.raises(ValueError, match=r".+"):
        program.softmax(program.input(24), program.output(24), size, inner, False)


def test_slopes_and_operations_fit_their_slots() -> None:
    program = _C.Program(ISAS[0])
    slots = program.input(24), program.output(24), program.arena_slot(0, 12)
    for slope in ([], [1.0] * 5):
        with pytest.raises(ValueError, match="one entry for each channel"):
            program.prelu(slots[0], slots[1], slope)
    with pytest.raises(ValueError, match="floats per image"):
        program.combine(slots[0], slots[2], slots[1], _C.Operation.product)
    wrongs: list[Any] = [0, "product", None]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            program.combine(slots[0], slots[0], slots[1], wrong)
        with pytest.raises(TypeError):
            program.map(slots[0], slots[1], wrong, [])
