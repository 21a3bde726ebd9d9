"""The code book: 64 symbols, and the one code that two of them share."""

from collections import defaultdict

import pytest

from openwork.data.morse_code import CODES


def test_there_are_64_symbols_of_dots_and_dashes() -> None:
    assert len(CODES) == 64
    assert all(code and set(code) <= {".", "-"} for code in CODES.values())


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("A", ".-"),
        ("E", "."),
        ("S", "..."),
        ("O", "---"),
        ("Z", "--.."),
        ("5", "....."),
        ("?", "..--.."),
    ],
)
def test_well_known_ones(symbol: str, code: str) -> None:
    assert CODES[symbol] == code


def test_only_one_code_is_shared() -> None:
    symbols = defaultdict(set)
    for symbol, code in CODES.items():
        symbols[code].add(symbol)
    assert [shared for shared in symbols.values() if len(shared) > 1] == [{"(", "Ĥ"}]
