"""Places in the arena: nothing overlaps while both are alive."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from openwork.runtime.lifetimes import LINE, Lifetime, place

LIFETIMES = st.lists(
    st.builds(
        lambda floats, first, length: Lifetime(floats, first, first + length),
        st.integers(1, 200),
        st.integers(0, 12),
        st.integers(0, 12),
    ),
    max_size=25,
)


@given(LIFETIMES)
def test_values_alive_at_once_never_overlap(lifetimes: list[Lifetime]) -> None:
    offsets = place(dict(enumerate(lifetimes)))
    assert offsets.keys() == set(range(len(lifetimes)))
    for a, b in combinations(range(len(lifetimes)), 2):
        one, two = lifetimes[a], lifetimes[b]
        if one.first <= two.last and two.first <= one.last:
            assert offsets[a] + one.floats <= offsets[b] or offsets[b] + two.floats <= offsets[a], (
                one,
                two,
            )


@given(LIFETIMES)
def test_each_starts_on_a_line_and_none_wastes_memory(lifetimes: list[Lifetime]) -> None:
    offsets = place(dict(enumerate(lifetimes)))
    assert all(offset >= 0 and offset % LINE == 0 for offset in offsets.values())
    rounded = sum(-(-lifetime.floats // LINE) * LINE for lifetime in lifetimes)
    assert all(offsets[key] + lifetime.floats <= rounded for key, lifetime in enumerate(lifetimes))


def test_a_chain_of_equal_values_needs_two_places() -> None:
    lifetimes = {step: Lifetime(64, step, step + 1) for step in range(10)}
    assert set(place(lifetimes).values()) == {0, 64}
