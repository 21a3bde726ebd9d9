"""Errors of the file format, and the check that raises them."""

from openwork.errors import ArgumentError, CheckpointError

__all__ = ["MalformedFile", "NotSerializable", "require"]


class MalformedFile(CheckpointError):
    """What was read from a file breaks a rule of the format; the text says which."""


class NotSerializable(ArgumentError):
    """Something that a file cannot hold; the text says what."""


def require(holds: bool, rule: str) -> None:
    """Refuse what was read from a file unless `rule` holds.

    Raises:
        MalformedFile: it does not; the text is `rule`.
    """
    if not holds:
        raise MalformedFile(rule)
