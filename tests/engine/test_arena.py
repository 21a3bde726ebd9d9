"""Places in the arena: nothing overlaps while both are alive."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from openwork.engine.arena import LINE, Life, place

LIVES = st.lists(
    st.builds(
        lambda floats, first, length: Life(floats, first, first + length),
        st.integers(1, 200),
        st.integers(0, 12),
        st.integers(0, 12),
    ),
    max_size=25,
)


@given(LIVES)
def test_values_alive_at_once_never_overlap(lives: list[Life]) -> None:
    offsets = place(dict(enumerate(lives)))
    assert offsets.keys() == set(range(len(lives)))
    for a, b in combinations(range(len(lives)), 2):
        one, two = lives[a], lives[b]
        if one.first <= two.last and two.first <= one.last:
            assert offsets[a] + one.floats <= offsets[b] or offsets[b] + two.floats <= offsets[a], (
                one,
                two,
            )


@given(LIVES)
def test_each_starts_on_a_line_and_none_wastes_memory(lives: list[Life]) -> None:
    offsets = place(dict(enumerate(lives)))
    assert all(offset >= 0 and offset % LINE == 0 for offset in offsets.values())
    rounded = sum(-(-life.floats // LINE) * LINE for life in lives)
    assert all(offsets[key] + life.floats <= rounded for key, life in enumerate(lives))


def test_a_chain_of_equal_values_needs_two_places() -> None:
    lives = {step: Life(64, step, step + 1) for step in range(10)}
    assert set(place(lives).values()) == {0, 64}
