"""Rules of the file format, and the errors that say which was broken."""

import pytest

from openwork.errors import ArgumentError, CheckpointError
from openwork.runtime.file_errors import MalformedFile, NotSerializable, require


def test_a_broken_rule_is_the_text_of_the_error() -> None:
    require(True, "`groups` must be at least 1")
    with pytest.raises(MalformedFile, match=r"^`shape` must have 4 sizes$"):
        require(False, "`shape` must have 4 sizes")


def test_reading_blames_the_file_and_writing_the_argument() -> None:
    assert issubclass(MalformedFile, CheckpointError)
    assert not issubclass(MalformedFile, ArgumentError)
    assert issubclass(NotSerializable, ArgumentError)
    assert not issubclass(NotSerializable, CheckpointError)
