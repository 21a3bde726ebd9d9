"""Sweeps: every left neuron once, z different memories a cycle, and no input met twice."""

import numpy as np
import pytest

from openwork.patterns.keys import stream
from openwork.patterns.sweeps import Memories, sweeps

KINDS = [(kind, dither) for kind in (1, 2, 3) for dither in (False, True)]


@pytest.mark.parametrize(("kind", "dither"), KINDS)
def test_each_cycle_reads_every_memory_and_each_sweep_every_neuron(kind: int, dither: bool) -> None:
    memories = Memories(inputs=24, z=4, type=kind, dither=dither)
    assert memories.rows == 6
    drawn = list(sweeps(memories, fan_out=3, fan_in=6, bits=stream(0, "sweep")))
    assert len(drawn) == 3
    for sweep in drawn:
        assert sorted(sweep.tolist()) == list(range(24))
        assert all(set(cycle) == {0, 1, 2, 3} for cycle in (sweep % 4).reshape(-1, 4).tolist())


def test_types_two_and_three_count_rows_up_and_type_three_repeats_one_sweep() -> None:
    for kind in (2, 3):
        memories = Memories(24, 4, kind, dither=False)
        first, second = sweeps(memories, fan_out=2, fan_in=6, bits=stream(1, "sweep"))
        rows = (first // 4).reshape(-1, 4)
        assert (np.diff(rows, axis=0) % 6 == 1).all()
        assert np.array_equal(first, second) is (kind == 3)


@pytest.mark.parametrize(("kind", "dither"), [k for k in KINDS if k[0] != 3])
@pytest.mark.parametrize("fan_in", [5, 7, 11])
def test_a_neuron_that_straddles_two_sweeps_meets_no_input_twice(
    kind: int, dither: bool, fan_in: int
) -> None:
    memories = Memories(12, 4, kind, dither)
    for seed in range(20):
        edges = np.concatenate([*sweeps(memories, fan_in, fan_in, stream(seed, "s"))])
        for neuron in edges.reshape(-1, fan_in):
            assert len(set(neuron.tolist())) == fan_in
