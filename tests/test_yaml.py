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
        ("? {b: 1}\n: 2", "has the key {...}; a key must be a single word"),
        ("a: " + "1:" * 1000 + "1", "has a number of 2001 characters"),
        ("9" * 1010 + ": 1", "has a number of"),
        ("a: 0x" + "f" * 2000, "has a number of"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a: " + "[" * 5000, "not YAML"),
        ("a: &a [*a]", "not YAML|nested more than 50 deep"),
        ("a: &a {b: *a}", "not YAML|nested more than 50 deep"),
        ("a: 1\n---\nb: 2", "not YAML"),
        (f"{'k' * 900}: 1\n{'k' * 900}: 2", "line 2 gives 'k{59} a second time"),
        ("a: \0", "not YAML"),
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


@pytest.mark.parametrize("last", ["? *a8\n: 1", "b: {? *a8 : 1}", "- *a8", "b: !!set {? *a8}"])
def test_a_large_key_is_refused_before_it_is_made(last: str) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ArgumentError) as caught:
        load_mapping("\n".join([*lines, last]))
    assert len(str(caught.value)) < 300


def test_what_aliases_share_may_be_used_again() -> None:
    text = "a: &a {x: [1, 2]}\nb: *a\nc: [*a, *a]"
    assert load_mapping(text)["c"] == [{"x": [1, 2]}] * 2
