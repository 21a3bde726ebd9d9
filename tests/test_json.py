"""JSON of others: data of bounded depth and size, or a ValueError, whatever the text."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from openwork._json import decode_json, decode_mapping, write_json
from openwork.errors import OpenworkError

DATA = {"a": [1, 2.5, None, True], "b": {"c": "ä \udcff"}, "d": -(10**30)}


@pytest.mark.parametrize("text", [json.dumps(DATA), json.dumps(DATA).encode()])
def test_plain_data_come_back(text: str | bytes) -> None:
    assert decode_json(text) == decode_mapping(text) == DATA


def _nested(depth: int, left: str = "[", right: str = "]") -> str:
    return left * depth + right * depth


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\ufeff{}",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        "{} {}",
        '{"a": 1,}',
        '{"a": ' + "1" * 5000 + "}",
        '{"a": -' + "1" * 1001 + "}",
        '{"a": ' + _nested(100) + "}",
        '{"a": ' + _nested(100_000) + "}",
        _nested(100_000, '{"a":', "}"),
        "[" * 100_000,
        '{"a": NaNs}',
        "\0",
    ],
)
def test_anything_else_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_mapping(text)


@pytest.mark.parametrize("text", ["[1]", "null", "3", '"text"'])
def test_a_mapping_is_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match="in the place of a mapping"):
        decode_mapping(text)


def test_a_hundred_levels_are_taken() -> None:
    data: Any = decode_json(_nested(100))
    for _ in range(99):
        (data,) = data
    assert data == []


def test_what_is_written_is_read_and_a_failure_leaves_the_earlier_file(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_json(tmp_path / "a.json", DATA)
    assert decode_mapping((tmp_path / "a.json").read_bytes()) == DATA
    with full_disk(10), pytest.raises(OpenworkError, match="could not be written"):
        write_json(tmp_path / "a.json", {"text": "x" * 100})
    assert decode_mapping((tmp_path / "a.json").read_bytes()) == DATA
