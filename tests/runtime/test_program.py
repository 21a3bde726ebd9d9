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


POOL = {
    "channels": 2,
    "height": 4,
    "width": 6,
    "kernel_y": 3,
    "kernel_x": 3,
    "stride_y": 1,
    "stride_x": 1,
    "pad_y": 1,
    "pad_x": 1,
    "out_height": 4,
    "out_width": 6,
}
PADS = ("pad_y", "pad_x")


def _pool(average: bool = True, **changed: Any) -> Any:
    return _C.Pool(**{**POOL, **changed}, average=average, count_padding=True)


NONE = _C.Activation.none
BAD_STEPS = [
    ("layer", (_layer, 7, 1)),
    ("layer", (_layer, -1, 1)),
    ("layer", (_layer, 0, 3)),
    ("layer", (_layer, 3, 1)),
    ("layer", (_layer, 0, 1, 3)),
    ("layer", (_layer, 0, 1, 9)),
    ("layer", (_layer, 2, 0)),
    ("layer", (_layer, 2, 2)),
    ("pool", (0, 0, _pool)),
    ("pool", (2, 2, _pool)),
    ("pool", (0, 1, _pool, [1.0] * 3)),
    ("pool", (0, 3, _pool)),
    ("mean", (0, 0)),
    ("mean", (3, 3)),
    ("mean", (3, 1)),
    ("mean", (0, 11)),
    ("add", (0, None, 3, NONE)),
    ("add", (0, 3, 1, NONE)),
    ("affine", (0, 1, [1.0] * 5, [1.0] * 5, NONE)),
    ("affine", (0, 1, [], [], NONE)),
    ("affine", (0, 1, [1.0, 2.0], [1.0], NONE)),
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in POOL if name not in PADS),
        *((name, value) for name in POOL for value in (-1, 2**31 - 1, 2**31, 2**63 - 1)),
        *((name, 2) for name in PADS),
    ],
)
def test_a_pool_beyond_the_bounds_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _pool(average=False, **{name: value})


@pytest.mark.parametrize("name", POOL)
def test_a_pool_takes_whole_numbers_by_name(name: str) -> None:
    assert getattr(_pool(), name) == POOL[name]
    with pytest.raises(AttributeError):
        setattr(_pool(), name, 1)
    for value in (2**63, 2.5, None):
        changed: dict[str, Any] = {name: value}
        with pytest.raises(TypeError):
            _pool(**changed)
    made: Any = _C.Pool
    with pytest.raises(TypeError):
        made(*POOL.values(), True, True)


def test_a_pool_beyond_its_input_is_refused() -> None:
    with pytest.raises(ValueError, match="last window lies outside"):
        _pool(average=False, out_width=8)


@pytest.mark.parametrize("activation", [7, -1, 0, "relu", None])
def test_only_an_activation_is_taken_for_one(activation: Any, program: Any) -> None:
    with pytest.raises(TypeError):
        program.add(0, None, 1, activation)
    with pytest.raises(TypeError):
        program.affine(0, 1, [1.0], [1.0], activation)
    with pytest.raises(TypeError):
        _pool(activation=activation)


@pytest.mark.parametrize("sizes", [[], list(POOL.values()), None])
def test_only_a_pool_is_taken_for_one(sizes: Any, program: Any) -> None:
    with pytest.raises(TypeError):
        program.pool(0, 1, sizes)


def test_something_else_than_a_layer_is_refused(program: Any) -> None:
    for layer in (3, None):
        with pytest.raises((TypeError, RuntimeError)):
            program.layer(layer, 0, 1)


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
    program.add(2, None, 1, _C.Activation.relu)
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
