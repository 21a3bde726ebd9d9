"""The native program: bad slots, sizes and calls are errors, never crashes."""

from typing import Any

import numpy as np
import pytest
import torch

from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry, Problem


@pytest.fixture
def program() -> Any:
    """Slots: input of (2, 4, 6), output of the same, 48 floats in the arena, 2 of each."""
    made = _C.Program(_C.chosen_isa())
    assert [made.input(48), made.output(48)] == [0, 1]
    assert [made.arena_slot(0, 48), made.arena_slot(48, 2)] == [2, 3]
    return made


def _layer() -> Any:
    weight = np.ones(4, np.float32)
    problem = Problem(Geometry(2, 2, (4, 6), (1, 1)), 1, np.arange(4), weight)
    return candidates(problem)[0].build(problem)


@pytest.mark.parametrize("isa", _C.usable_isas())
@pytest.mark.parametrize("pixels", [1 << 20, 1021 * 1023, 49])
def test_a_mean_is_as_good_for_large_maps(pixels: int, isa: str) -> None:
    program = _C.Program(isa)
    program.mean(program.input(pixels), program.output(1))
    maps, found = np.full((1, pixels), 0.1, np.float32), np.empty((1, 1), np.float32)
    program.run([maps], [found], np.empty(program.arena(1, 1), np.float32), 1, 1)
    wanted = maps.mean(dtype=np.float64)
    # Half an epsilon for 17 sums in each lane, 2 of vectors and one rounding; the rest is double.
    assert abs(found[0, 0] - wanted) <= 10 * np.finfo(np.float32).eps * wanted


POOL = [2, 4, 6, 3, 3, 1, 1, 1, 1, 4, 6]


def _pool(place: int, value: int) -> list[int]:
    return [*POOL[:place], value, *POOL[place + 1 :]]


BAD_STEPS = [
    ("layer", (_layer, 7, 1)),
    ("layer", (_layer, -1, 1)),
    ("layer", (_layer, 0, 3)),
    ("layer", (_layer, 3, 1)),
    ("layer", (_layer, 0, 1, 3)),
    ("layer", (_layer, 0, 1, 9)),
    ("layer", (_layer, 2, 0)),
    ("layer", (_layer, 2, 2)),
    ("pool", (0, 0, POOL, True, True)),
    ("pool", (2, 2, POOL, True, True)),
    ("pool", (0, 1, POOL[:-1], True, True)),
    ("pool", (0, 1, [], True, True)),
    ("pool", (0, 1, POOL, True, True, [1.0] * 3)),
    ("pool", (0, 1, POOL, True, True, [], 7)),
    *(("pool", (0, 1, _pool(place, 0), False, True)) for place in (0, 1, 2, 3, 4, 5, 6, 9, 10)),
    *(("pool", (0, 1, _pool(place, -1), False, True)) for place in range(11)),
    *(("pool", (0, 1, _pool(place, 2**31 - 1), False, True)) for place in range(11)),
    *(("pool", (0, 1, _pool(place, 2), False, True)) for place in (7, 8)),
    ("mean", (0, 0)),
    ("mean", (3, 3)),
    ("mean", (3, 1)),
    ("mean", (0, 11)),
    ("add", (0, None, 3, 0)),
    ("add", (0, 3, 1, 0)),
    ("add", (0, None, 1, 7)),
    ("add", (0, None, 1, -1)),
    ("affine", (0, 1, [1.0] * 5, [1.0] * 5, 0)),
    ("affine", (0, 1, [], [], 0)),
    ("affine", (0, 1, [1.0, 2.0], [1.0], 0)),
    ("gate", (3, 0, 3)),
    ("gate", (0, 5, 1)),
    ("gate", (2, 3, 3)),
    ("copy", (0, 3)),
    ("copy", (2, 2)),
    ("copy", (2, 0)),
    ("copy", (0, 7)),
    ("clear", (0,)),
    ("clear", (7,)),
    ("part", (0, 0, 49)),
    ("part", (0, 40, 9)),
    ("part", (0, -1, 2)),
    ("part", (0, 0, 0)),
    ("part", (0, 2**62, 2**62)),
    ("part", (9, 0, 1)),
    ("arena_slot", (-1, 4)),
    ("arena_slot", (0, 0)),
    ("arena_slot", (2**62, 4)),
    ("arena_slot", (0, 2**62)),
    ("input", (0,)),
    ("output", (-3,)),
]


# Not ids=str: tensors and functions print differently in each of several test processes.
@pytest.mark.parametrize(
    ("step", "arguments"), BAD_STEPS, ids=[f"{s}{i}" for i, (s, _) in enumerate(BAD_STEPS)]
)
def test_bad_slots_and_steps_are_refused(step: str, arguments: tuple, program: Any) -> None:
    given = [a() if callable(a) else a for a in arguments]
    with pytest.raises(ValueError, match=r".+"):
        getattr(program, step)(*given)


def test_a_pool_beyond_its_input_is_refused(program: Any) -> None:
    program.output(2 * 4 * 8)
    with pytest.raises(ValueError, match="last window lies outside"):
        program.pool(0, 4, _pool(10, 8), False, True)


def test_something_else_than_a_layer_is_refused(program: Any) -> None:
    with pytest.raises((TypeError, RuntimeError)):
        program.layer(3, 0, 1)


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="sse9"):
        _C.Program("sse9")


def _run(program: Any, **changed: Any) -> torch.Tensor:
    output = torch.full((3, 2, 4, 6), float("nan"))
    call = {
        "inputs": [torch.randn(3, 2, 4, 6)],
        "outputs": [output],
        "arena": torch.empty(program.arena(3, 1)),
        "batch": 3,
        "threads": 1,
    }
    program.run(**{**call, **changed})
    return output


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": []},
        {"outputs": []},
        {"inputs": [torch.randn(2, 2, 4, 6)]},
        {"outputs": [torch.randn(3, 2, 4, 7)]},
        {"batch": 0},
        {"batch": -3},
        {"batch": 2},
        {"batch": 2**20 + 1},
        {"threads": 0},
        {"threads": 5000},
        {"arena": torch.empty(149)},
        {"arena": torch.empty(0)},
        {"seconds": np.zeros(1)},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_bad_calls_are_refused(changed: dict, program: Any) -> None:
    program.layer(_layer(), 0, 2)
    program.add(2, None, 1, 1)
    with pytest.raises(ValueError, match=r".+"):
        _run(program, **changed)
    assert not _run(program).isnan().any()


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": [torch.randn(3, 2, 4, 6, dtype=torch.float64)]},
        {"outputs": [torch.randn(3, 2, 6, 4).transpose(2, 3)]},
        {"inputs": [torch.randn(3, 2, 4, 6, device="meta")]},
        {"arena": None},
    ],
    ids=["dtype", "strides", "device", "none"],
)
def test_tensors_of_another_kind_are_refused(changed: dict, program: Any) -> None:
    with pytest.raises((TypeError, RuntimeError, BufferError)):
        _run(program, **changed)


def test_a_huge_program_asks_for_its_arena_without_overflow() -> None:
    program = _C.Program(_C.chosen_isa())
    program.arena_slot(2**40, 2**40)
    assert program.arena(2**20, 1) > 2**60
