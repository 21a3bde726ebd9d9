"""Clash-free patterns: the guarantee, the counts, and the edges that could have met twice."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_cases import peak_bytes, regular_sizes

from openwork.errors import ArgumentError
from openwork.patterns import Pattern, clash_free, clash_free_count
from openwork.patterns.clash_free import edges
from openwork.patterns.keys import stream
from openwork.patterns.sweeps import Memories

KINDS = list(itertools.product((1, 2, 3), (False, True)))


def _divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]


@settings(deadline=None)
@given(regular_sizes(), st.sampled_from(KINDS), st.data(), st.integers(0, 2**40))
def test_fans_are_equal_and_no_connection_comes_twice(
    sizes: tuple[int, int, int, int], kind: tuple[int, bool], data: st.DataObject, seed: int
) -> None:
    outputs, inputs, groups, fan_out = sizes
    z = data.draw(st.sampled_from(_divisors(inputs // groups)))
    pattern = clash_free(
        outputs, inputs, 1, fan_out=fan_out, z=z, type=kind[0], dither=kind[1], groups=groups,
        seed=seed,
    )  # fmt: skip
    assert set(pattern.fan_out.tolist()) == {fan_out}
    assert set(pattern.fan_in.tolist()) == {inputs * fan_out // outputs}


@settings(deadline=None)
@given(regular_sizes(), st.sampled_from(KINDS), st.data(), st.integers(0, 2**40))
def test_in_each_cycle_z_edges_read_z_different_memories(
    sizes: tuple[int, int, int, int], kind: tuple[int, bool], data: st.DataObject, seed: int
) -> None:
    groups, fan_out = sizes[2:]
    outputs, inputs = sizes[0] // groups, sizes[1] // groups
    z = data.draw(st.sampled_from(_divisors(inputs)))
    read = edges(outputs, Memories(inputs, z, *kind), fan_out, stream(seed, "test"))
    assert read.size == inputs * fan_out
    memories = np.sort(read.reshape(-1, z) % z, axis=1)
    assert (memories == np.arange(z)).all()
    # And each sweep reads every input once.
    assert (np.sort(read.reshape(fan_out, inputs), axis=1) == np.arange(inputs)).all()


def test_the_pattern_is_what_its_edges_say() -> None:
    pattern = clash_free(12, 8, fan_out=6, z=4, type=2, dither=True, seed=5)
    read = edges(12, Memories(8, 4, 2, True), 6, stream(5, "clash_free 2 True"))
    assert np.array_equal(pattern.connections[:, 1].reshape(12, 4), np.sort(read.reshape(12, 4)))


@pytest.mark.parametrize("dither", [False, True])
def test_the_types_order_rows_as_they_say(dither: bool) -> None:
    def rows(kind: int) -> np.ndarray:
        read = edges(40, Memories(40, 5, kind, dither), 4, stream(1, "rows"))
        return read.reshape(4, 8, 5) // 5

    assert not ((np.diff(rows(1), axis=1) - 1) % 8 == 0).all()
    for kind in (2, 3):
        assert ((np.diff(rows(kind), axis=1) - 1) % 8 == 0).all()
    assert not np.array_equal(rows(2)[0], rows(2)[1])
    assert (rows(3) == rows(3)[0]).all()


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_dither_orders_the_memories_anew_in_each_sweep(kind: int) -> None:
    def lanes(dither: bool) -> np.ndarray:
        read = edges(60, Memories(60, 6, kind, dither), 3, stream(2, "lanes"))
        return read.reshape(3, 10, 6) % 6

    assert (lanes(False) == np.arange(6)).all()
    dithered = lanes(True)
    assert (dithered == dithered[:, :1]).all()
    assert not np.array_equal(dithered[0, 0], np.arange(6))
    assert np.array_equal(dithered[0], dithered[1]) == (kind == 3)


# The values that the authors' code names in its own checks.
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_counts_that_are_known(kind: int) -> None:
    small = [46656, 729, 27][kind - 1]
    assert clash_free_count(6, 9, 2, z=3, type=kind) == small
    assert clash_free_count(6, 9, 2, z=3, type=kind, dither=True) == small
    dithered = [60_466_176, 236_196, 486][kind - 1]
    assert clash_free_count(12, 12, 2, z=4, type=kind, dither=True) == dithered
    assert clash_free_count(6, 9, 6, z=3, type=kind, dither=True) == 1


@pytest.mark.parametrize(
    ("sizes", "z", "kind", "dither"),
    [
        ((4, 4, 1), 2, 1, True),
        ((6, 6, 1), 2, 2, True),
        ((12, 6, 2), 2, 3, True),
        ((6, 9, 2), 3, 3, False),
        ((12, 6, 2), 2, 2, False),
    ],
)
def test_so_many_patterns_are_drawn_as_are_counted(
    sizes: tuple[int, int, int], z: int, kind: int, dither: bool
) -> None:
    outputs, inputs, fan_out = sizes
    count = clash_free_count(*sizes, z=z, type=kind, dither=dither)
    drawn = {
        clash_free(outputs, inputs, fan_out=fan_out, z=z, type=kind, dither=dither, seed=seed)
        for seed in range(12 * count)
    }
    assert len(drawn) == count


def test_counts_without_a_formula_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"fan-in of 3: .* divides the other; nearest z: 1 or 3"
    ):
        clash_free_count(4, 6, 2, z=2, dither=True)
    assert clash_free_count(4, 6, 2, z=2) == math.factorial(3) ** 4
    with pytest.raises(ArgumentError, match=r"nearest z: 2$"):
        clash_free_count(10, 10, 4, z=5, dither=True)
    assert clash_free_count(10, 10, 4, z=2, dither=True) > 1


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_the_same_seed_gives_the_same_pattern_everywhere(kind: int) -> None:
    pattern = clash_free(30, 36, 3, fan_out=5, z=6, type=kind, dither=True, groups=2, seed=7)
    assert (
        pattern.digest[:16]
        == ["4e9b463ca640f513", "7ffa5b9b7363168e", "7aa969f0884c3248"][kind - 1]
    )
    assert clash_free(30, 36, 3, fan_out=5, z=6, type=kind, groups=2, seed=7) != pattern


def test_memory_grows_with_the_live_connections_only() -> None:
    def draw(size: int) -> Pattern:
        return clash_free(size, size, fan_out=7, z=16, dither=True)

    assert peak_bytes(lambda: draw(4096)) < 5 * peak_bytes(lambda: draw(1024))
    assert peak_bytes(lambda: draw(4096)) < 120 * 4096 * 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"z": 5}, r"`z`=5 must divide the 12 inputs .* nearest: 4 or 6"),
        ({"z": 20}, r"`z`=20 .* nearest: 12$"),
        ({"z": 0}, "`z`=0"),
        ({"z": 4, "fan_out": 3}, "nearest: fan_out 2 .* or 4 "),
        ({"z": 4, "fan_out": 2, "type": 4}, "`type`=4 must be 1, 2 or 3"),
        ({"z": 4, "fan_out": 2, "dither": 1}, "`dither`=1 must be true or false"),
        ({"z": 4, "fan_out": 2, "seed": -1}, "`seed`=-1"),
        ({"z": 4}, "exactly one of the two"),
    ],
)
def test_bad_parameters_name_the_nearest_possible(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        clash_free(8, 12, **arguments)
