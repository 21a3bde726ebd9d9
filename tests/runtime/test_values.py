"""Values and their aliases."""

from openwork.runtime.values import Alias, Value, root


def test_an_alias_of_an_alias_is_one_of_the_value() -> None:
    value = Value((2, 3, 4), "x")
    flat = Alias(value, (24,))
    again = Alias(flat, (6, 4))
    assert again.of is root(again) is root(value) is value
    assert (again.name, again.floats, value.floats) == ("x", 24, 24)
    assert Value((), "one").floats == 1
    assert len({value, flat, again, Value((2, 3, 4), "x")}) == 4
