"""YAML that a person wrote: plain numbers, no key twice, and nothing that explodes."""

import pytest

from openwork._yaml import load_mapping
from openwork.errors import ArgumentError


def test_plain_data_comes_back() -> None:
    text = "a: 1\nb: [x, null, true]\nc: {d: 2.5}\n"
    assert load_mapping(text) == {"a": 1, "b": ["x", None, True], "c": {"d": 2.5}}


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("-2E5", -2e5), (".5e1", 5.0)])
def test_numbers_as_everybody_writes_them(text: str, value: float) -> None:
    assert load_mapping(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2 gives 'a' a second time"),
        ("a: [", "not YAML"),
        ("- 1", "must hold a mapping, found list"),
        ("", "must hold a mapping, found NoneType"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merges with `<<`"),
        ("[1]: 2", "has the key .*; a key must be a single word"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("a: " + "9" * 2000, "has a number of"),
        ("a: 2024-99-99", "not YAML: ValueError"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load_mapping(text)


def test_aliases_cannot_stand_for_more_than_a_memory_holds() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ArgumentError, match="aliases make it too large"):
        load_mapping("\n".join(lines))
